// Nearest codewords of many vectors: a fast filter in float32 or bfloat16, a decision in float64, no score matrix.
//
// The score of codeword e for query z is |e|^2 + bias - 2 z.e, the squared distance without |z|^2, which ranks nothing.
//
// Filter.   A tile of codewords is copied with its dimensions side by side, [D][CODES], so that one vector register
//           holds one dimension of several codewords, or a pair of dimensions in bfloat16. QUERIES queries meet the tile
//           at once: their scores stay in registers while all dimensions are added, and the tile stays in the nearest
//           cache while all queries pass by. Only the lowest score is compared with the query's limit; none is stored
//           unless one may win. In bfloat16 all vectors are seen from the codebook's centre, where they are short.
// Decision. Whatever the order of summation, a filter's score is off by at most a known slack, so a codeword whose score
//           exceeds the best so far (the last of the few best) by more cannot win. The others, a handful per query, are
//           scored in float64 in one
//           fixed order. Products of two float32 are exact there, so that it does not matter whether the compiler fuses
//           them with the addition: the result is the same on every machine, and the same as the torch road's, which
//           is search.py and search_exact.py; the latter derives the slack and shares its constants.
//
// Where codewords lie so close together that bfloat16 leaves much to decide, the rest is filtered in float32.
//
// `smaller(a, b)` is b where one is not a number: such a score never wins, and must not hide another in its lane.
//
// scan.inc holds the loops and is compiled once per instruction set; the set is chosen when the program runs.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <future>
#include <limits>
#include <vector>

#if defined(__GNUC__) && defined(__x86_64__)
#include <immintrin.h>
#define X86_SETS 1
#if __GNUC__ >= 11 || __clang_major__ >= 11
#define X86_BFLOAT16 1
#endif
#endif

namespace {

constexpr float INFINITE = std::numeric_limits<float>::infinity();
constexpr double ROUNDING = 5.9604644775390625e-8;  // 2^-24, of one float32 operation
constexpr double FINE_ROUNDING = 0x1p-52;           // twice that of one float64 operation
constexpr double SAFETY = 1.02;                     // covers the rounding of the slack itself
constexpr double OVERFLOWING = 1e37;                // scores of this size may leave float32: then nothing is filtered
constexpr double NEAR_ZERO = 2e-38;                 // what one product may lose near zero
constexpr double COARSE = 0x1p-7 + 0x1p-16;         // what one product of two numbers rounded to bfloat16 may be off
constexpr double PATIENCE = 0.4;                    // decisions for each tile and query above which the filter is too coarse
constexpr int FREE_DECISIONS = 16;                  // of each query, until it has met codewords that are near
constexpr int ENOUGH_FOR_A_CENTRE = 4096;
constexpr int PARTS = 8;                            // partial sums of a float64 score, as in search_exact.py

struct Problem {
    const float* z;     // (N, D) queries
    const float* e;     // (K, D) codewords
    const float* bias;  // (K,) or null
    int64_t code_count, dim;
    int few;  // how many codewords are wanted for each query
};

struct Query {
    double best = INFINITE;  // exact score that a codeword must stay below: of the last of the few best so far
    double shift = 0;        // what a score is more when seen from the centre
    double length = 0;       // |z|, from there
    double far_length = 0;   // |z|, from the origin
    float limit = INFINITE;  // float32 scores above it cannot win in the present tile
    double* scores = nullptr;  // of the few best so far, ascending
    int64_t* indices = nullptr;

    // Puts a codeword in its place among the `few` best, behind those of the same score.
    void insert(double score, int64_t index, int few) {
        int place = few - 1;
        for (; place > 0 && scores[place - 1] > score; --place) {
            scores[place] = scores[place - 1];
            indices[place] = indices[place - 1];
        }
        scores[place] = score;
        indices[place] = index;
        best = scores[few - 1];
    }
};

struct Slack {
    double constant = 0, per_length = 0, per_far_length = 0;

    float of(const Query& query) const {
        return static_cast<float>(SAFETY * (constant + per_length * query.length + per_far_length * query.far_length));
    }
};

using Word = uint32_t;  // a float32, or two bfloat16

Word word_of(float a) {
    Word word;
    std::memcpy(&word, &a, sizeof word);
    return word;
}

// To the nearest bfloat16, halves to even.
inline Word bfloat16(float a) {
    const Word word = word_of(a), rounded = (word + 0x7fff + (word >> 16 & 1)) >> 16;
    return a == a ? rounded : 0x7fc0;
}

// `dim` numbers times a factor, PACK of them a word.
template <int PACK>
inline void pack(const float* from, float factor, int64_t dim, Word* to) {
    if (PACK == 1) {
        for (int64_t d = 0; d < dim; ++d) to[d] = word_of(factor * from[d]);
        return;
    }
    for (int64_t w = 0; w < dim / 2; ++w)
        to[w] = bfloat16(factor * from[2 * w]) | bfloat16(factor * from[2 * w + 1]) << 16;
    if (dim % 2) to[dim / 2] = bfloat16(factor * from[dim - 1]);
}

// The mean of some codewords; any vector would do.
std::vector<float> centre_of(const Problem& problem) {
    std::vector<double> sum(problem.dim);
    const int64_t step = problem.code_count / ENOUGH_FOR_A_CENTRE + 1;
    int64_t count = 0;
    for (int64_t k = 0; k < problem.code_count; k += step, ++count)
        for (int64_t d = 0; d < problem.dim; ++d) sum[d] += problem.e[k * problem.dim + d];
    std::vector<float> centre(problem.dim);
    for (int64_t d = 0; d < problem.dim; ++d) {
        const double mean = sum[d] / count;
        centre[d] = std::abs(mean) < OVERFLOWING ? static_cast<float>(mean) : 0;
    }
    return centre;
}

// Some codewords side by side, and how far their scores can be trusted.
struct Tile {
    std::vector<Word> factors;  // [words][CODES] the codewords times -2
    std::vector<float> costs;   // [CODES] |e|^2 + bias
    std::vector<double> exact_costs;
    int64_t first = 0;  // index of the first codeword
    int count = 0;      // of codewords; the last tile may be short
    double cost_bound = 0, length_bound = 0;
    double far_cost_bound = 0, far_length_bound = 0, centre_length = 0;  // from the origin

    Tile(int codes, int64_t words) : factors(codes * words), costs(codes), exact_costs(codes) {}

    // How far a filter's score can be from the exact one: a constant, and what each unit of the query's lengths adds.
    Slack slack(const Query& farthest, int64_t dim, bool coarse) const {
        Slack found;
        const double rounding = (dim + 4) * ROUNDING * (coarse ? 1 + COARSE : 1);
        found.constant = rounding * cost_bound + 2 * dim * NEAR_ZERO;
        found.per_length = rounding * 2 * length_bound;
        double size = cost_bound + 2 * farthest.length * length_bound;
        if (coarse) {  // the words, and before them the differences from the centre, are rounded; so are the exact scores
            const double fine = (dim + 8) * FINE_ROUNDING, lengths = far_length_bound + centre_length;
            const double square = far_cost_bound + centre_length * centre_length;
            found.constant += dim * NEAR_ZERO * length_bound + fine * square;
            found.per_length += (COARSE + 4 * ROUNDING) * 2 * length_bound + dim * NEAR_ZERO;
            found.per_far_length = fine * 2 * lengths;
            size += square + 2 * farthest.far_length * lengths;
        }
        if (!(size < OVERFLOWING)) found.constant = INFINITE;
        return found;
    }
};

inline int lowest_bit(unsigned bits) {
#ifdef __GNUC__
    return __builtin_ctz(bits);
#else
    int place = 0;
    while (!(bits >> place & 1)) ++place;
    return place;
#endif
}

#ifdef __GNUC__  // inlined, it would take registers from the filter
#define KEEP_APART __attribute__((noinline))
#else
#define KEEP_APART
#endif

#define TARGET  // attribute of functions that need an instruction set
#ifdef X86_SETS
namespace avx512 {
#undef TARGET
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma")))
constexpr int QUERIES = 6, VECTORS = 4, LANES = 16, PACK = 1;  // 24 sums, 4 codewords and a query fill 29 of 32 registers
using Vector = __m512;
using Words = __m512;
TARGET inline Vector load(const float* from) { return _mm512_loadu_ps(from); }
TARGET inline void store(float* to, Vector a) { _mm512_storeu_ps(to, a); }
TARGET inline Vector everywhere(float a) { return _mm512_set1_ps(a); }
TARGET inline Words load_words(const Word* from) { return _mm512_loadu_ps(from); }
TARGET inline Words same_word(Word a) { return _mm512_castsi512_ps(_mm512_set1_epi32(a)); }
TARGET inline Vector add_products(Vector sum, Words a, Words b) { return _mm512_fmadd_ps(a, b, sum); }
TARGET inline Vector smaller(Vector a, Vector b) { return _mm512_min_ps(a, b); }
TARGET inline unsigned within(Vector a, Vector limit) { return _mm512_cmp_ps_mask(a, limit, _CMP_NGT_UQ); }
#include "scan.inc"
}  // namespace avx512

#ifdef X86_BFLOAT16
namespace avx512_bf16 {
#undef TARGET
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma")))
constexpr int QUERIES = 6, VECTORS = 4, LANES = 16, PACK = 2;
using Vector = __m512;
using Words = __m512i;
TARGET inline Vector load(const float* from) { return _mm512_loadu_ps(from); }
TARGET inline void store(float* to, Vector a) { _mm512_storeu_ps(to, a); }
TARGET inline Vector everywhere(float a) { return _mm512_set1_ps(a); }
TARGET inline Words load_words(const Word* from) { return _mm512_loadu_si512(from); }
TARGET inline Words same_word(Word a) { return _mm512_set1_epi32(a); }
TARGET inline Vector add_products(Vector sum, Words a, Words b) { return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b); }
TARGET inline Vector smaller(Vector a, Vector b) { return _mm512_min_ps(a, b); }
TARGET inline unsigned within(Vector a, Vector limit) { return _mm512_cmp_ps_mask(a, limit, _CMP_NGT_UQ); }
#include "scan.inc"
}  // namespace avx512_bf16
#endif

namespace avx2 {
#undef TARGET
#define TARGET __attribute__((target("avx2,fma")))
constexpr int QUERIES = 6, VECTORS = 2, LANES = 8, PACK = 1;  // 12 + 2 + 1 of 16 registers
using Vector = __m256;
using Words = __m256;
TARGET inline Vector load(const float* from) { return _mm256_loadu_ps(from); }
TARGET inline void store(float* to, Vector a) { _mm256_storeu_ps(to, a); }
TARGET inline Vector everywhere(float a) { return _mm256_set1_ps(a); }
TARGET inline Words load_words(const Word* from) { return _mm256_castsi256_ps(_mm256_loadu_si256((const __m256i*)from)); }
TARGET inline Words same_word(Word a) { return _mm256_castsi256_ps(_mm256_set1_epi32(a)); }
TARGET inline Vector add_products(Vector sum, Words a, Words b) { return _mm256_fmadd_ps(a, b, sum); }
TARGET inline Vector smaller(Vector a, Vector b) { return _mm256_min_ps(a, b); }
TARGET inline unsigned within(Vector a, Vector limit) {
    return _mm256_movemask_ps(_mm256_cmp_ps(a, limit, _CMP_NGT_UQ));
}
#include "scan.inc"
}  // namespace avx2
#undef TARGET
#define TARGET
#endif

namespace plain {  // any compiler, any processor
constexpr int PACK = 1;
#ifdef __GNUC__
constexpr int QUERIES = 4, VECTORS = 2, LANES = 4;
typedef float Vector __attribute__((vector_size(16)));
#else
constexpr int QUERIES = 4, VECTORS = 4, LANES = 1;
using Vector = float;
#endif
inline Vector load(const float* from) {
    Vector a;
    std::memcpy(&a, from, sizeof a);
    return a;
}
inline void store(float* to, Vector a) { std::memcpy(to, &a, sizeof a); }
inline Vector everywhere(float a) { return Vector{} + a; }
using Words = Vector;
inline Words load_words(const Word* from) {
    Words a;
    std::memcpy(&a, from, sizeof a);
    return a;
}
inline Words same_word(Word a) {
    float value;
    std::memcpy(&value, &a, sizeof value);
    return everywhere(value);
}
inline Vector add_products(Vector sum, Words a, Words b) { return sum + a * b; }
inline Vector smaller(Vector a, Vector b) { return a < b ? a : b; }
inline unsigned within(Vector a, Vector limit) {
    float values[LANES], limits[LANES];
    store(values, a);
    store(limits, limit);
    unsigned bits = 0;
    for (int i = 0; i < LANES; ++i) bits |= static_cast<unsigned>(!(values[i] > limits[i])) << i;
    return bits;
}
#include "scan.inc"
}  // namespace plain

using Scan = int64_t (*)(const Problem&, const float*, int64_t, std::vector<Query>&, int64_t);

// The scan of an instruction set, or null if this machine or this library does not have it.
Scan scan_of(int set) {
    if (set == 0) return plain::scan;
#ifdef X86_SETS
    __builtin_cpu_init();
    if (set == 1 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return avx2::scan;
    if (set == 2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return avx512::scan;
#ifdef X86_BFLOAT16
    if (set == 3 && scan_of(2) != nullptr && __builtin_cpu_supports("avx512bf16")) return avx512_bf16::scan;
#endif
#endif
    return nullptr;
}

}  // namespace

// Writes scores and indices of the `few` nearest of `code_count` codewords for each of `query_count` queries, nearest first; the
// lowest wins a tie. Places that no codeword wins have an infinite score and index 0. All arrays are dense and row-major.
// `set`: 0 plain, 1 AVX2, 2 AVX-512, 3 AVX-512 with bfloat16.
// Returns 0; 1 if the set is not available here; 2 if memory or threads ran out.
extern "C" int nearest_codewords(const float* z, int64_t query_count, const float* e, const float* bias,
                                 int64_t code_count, int64_t dim, int few, double* scores, int64_t* indices,
                                 int threads, int set) {
    const Scan scan = scan_of(set);
    if (scan == nullptr) return 1;
    const Problem problem{z, e, bias, code_count, dim, few};
    const bool coarse = set > 2;
    const auto work = [&](int64_t begin, int64_t end, const float* centre) {
        std::vector<Query> queries(end - begin);
        std::fill(scores + begin * few, scores + end * few, INFINITE);
        std::fill(indices + begin * few, indices + end * few, 0);
        for (int64_t i = begin; i < end; ++i) {
            queries[i - begin].scores = scores + i * few;
            queries[i - begin].indices = indices + i * few;
        }
        int64_t done = 0;
        if (coarse) done = scan(problem, centre, begin, queries, 0);
        if (done < code_count) (coarse ? scan_of(2) : scan)(problem, nullptr, begin, queries, done);
    };
    const int64_t share = (query_count + threads - 1) / threads;
    try {
        const std::vector<float> centre = coarse ? centre_of(problem) : std::vector<float>();
        std::vector<std::future<void>> others;  // each waits for its thread when it goes
        for (int64_t first = share; first < query_count; first += share)
            others.push_back(std::async(std::launch::async, work, first, std::min(first + share, query_count),
                                        centre.data()));
        work(0, std::min(share, query_count), centre.data());
        for (auto& other : others) other.get();
    } catch (const std::exception&) {
        return 2;
    }
    return 0;
}

// Whether instruction set `set` can be used here.
extern "C" int has_set(int set) { return scan_of(set) != nullptr; }

// Changes when a function above does, so that a library left over from an older build is not called.
extern "C" int interface_version() { return 3; }

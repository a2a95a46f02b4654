// Nearest codeword of many vectors: a fast filter in float32, a decision in float64, no score matrix.
//
// The score of codeword e for query z is |e|^2 + bias - 2 z.e, the squared distance without |z|^2, which ranks nothing.
//
// Filter.   A tile of codewords is copied with its dimensions side by side, [D][CODES], so that one vector register
//           holds one dimension of several codewords. QUERIES queries meet the tile at once: their scores stay in
//           registers while all D dimensions are added, and the tile stays in the nearest cache while all queries pass
//           by. Only the lowest score is compared with the query's limit; none is stored unless one may win.
// Decision. Whatever the order of summation, a float32 score is off by at most a known slack, so a codeword whose score
//           exceeds the best so far by more cannot win. The others, a handful per query, are scored in float64 in one
//           fixed order. Products of two float32 are exact there, so that it does not matter whether the compiler fuses
//           them with the addition: the result is the same on every machine, and the same as the torch road's, which
//           is search.py and search_exact.py; the latter derives the slack and shares its constants.
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
#endif

namespace {

constexpr float INFINITE = std::numeric_limits<float>::infinity();
constexpr double ROUNDING = 5.9604644775390625e-8;  // 2^-24, of one float32 operation
constexpr double SAFETY = 1.02;                     // covers the rounding of the slack itself
constexpr double OVERFLOWING = 1e37;                // scores of this size may leave float32: then nothing is filtered
constexpr double NEAR_ZERO = 2e-38;                 // what one product may lose near zero
constexpr int PARTS = 8;                            // partial sums of a float64 score, as in search_exact.py

struct Problem {
    const float* z;     // (N, D) queries
    const float* e;     // (K, D) codewords
    const float* bias;  // (K,) or null
    int64_t code_count, dim;
};

struct Query {
    double best = INFINITE;  // exact score of the best codeword so far
    double length = 0;       // |z|
    float limit = INFINITE;  // float32 scores above it cannot win in the present tile
    int64_t index = 0;
};

// Some codewords side by side, and how far their float32 scores can be trusted.
struct Tile {
    std::vector<float> doubled, costs;  // [D][CODES] twice the codewords; [CODES] |e|^2 + bias
    std::vector<double> exact_costs;
    int64_t first = 0;  // index of the first codeword
    int count = 0;      // of codewords; the last tile may be short
    double cost_bound = 0, length_bound = 0;

    Tile(int codes, int64_t dim) : doubled(codes * dim), costs(codes), exact_costs(codes) {}

    // How far a float32 score can be from the exact one.
    float slack(double query_length, int64_t dim) const {
        const double size = cost_bound + 2 * query_length * length_bound;
        if (!(size < OVERFLOWING)) return INFINITE;
        return static_cast<float>(SAFETY * ((dim + 4) * ROUNDING * size + dim * NEAR_ZERO));
    }
};

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
constexpr int QUERIES = 6, VECTORS = 4, LANES = 16;  // 24 sums, 4 codewords and a query fill 29 of 32 registers
using Vector = __m512;
TARGET inline Vector load(const float* from) { return _mm512_loadu_ps(from); }
TARGET inline void store(float* to, Vector a) { _mm512_storeu_ps(to, a); }
TARGET inline Vector everywhere(float a) { return _mm512_set1_ps(a); }
TARGET inline Vector subtract_product(Vector sum, Vector a, Vector b) { return _mm512_fnmadd_ps(a, b, sum); }
TARGET inline Vector smaller(Vector a, Vector b) { return _mm512_min_ps(a, b); }
TARGET inline unsigned within(Vector a, Vector limit) { return _mm512_cmp_ps_mask(a, limit, _CMP_NGT_UQ); }
#include "scan.inc"
}  // namespace avx512

namespace avx2 {
#undef TARGET
#define TARGET __attribute__((target("avx2,fma")))
constexpr int QUERIES = 6, VECTORS = 2, LANES = 8;  // 12 + 2 + 1 of 16 registers
using Vector = __m256;
TARGET inline Vector load(const float* from) { return _mm256_loadu_ps(from); }
TARGET inline void store(float* to, Vector a) { _mm256_storeu_ps(to, a); }
TARGET inline Vector everywhere(float a) { return _mm256_set1_ps(a); }
TARGET inline Vector subtract_product(Vector sum, Vector a, Vector b) { return _mm256_fnmadd_ps(a, b, sum); }
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
inline Vector subtract_product(Vector sum, Vector a, Vector b) { return sum - a * b; }
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

using Scan = void (*)(const Problem&, int64_t, int64_t, int64_t*);

// The scan of an instruction set, or null if this machine or this library does not have it.
Scan scan_of(int set) {
    if (set == 0) return plain::scan;
#ifdef X86_SETS
    __builtin_cpu_init();
    if (set == 1 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return avx2::scan;
    if (set == 2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return avx512::scan;
#endif
    return nullptr;
}

}  // namespace

// Writes the index of the nearest of `code_count` codewords for each of `query_count` queries; the lowest wins a tie.
// All arrays are dense and row-major. `set`: 0 plain, 1 AVX2, 2 AVX-512.
// Returns 0; 1 if the set is not available here; 2 if memory or threads ran out.
extern "C" int nearest_codewords(const float* z, int64_t query_count, const float* e, const float* bias,
                                 int64_t code_count, int64_t dim, int64_t* indices, int threads, int set) {
    const Scan scan = scan_of(set);
    if (scan == nullptr) return 1;
    const Problem problem{z, e, bias, code_count, dim};
    const int64_t share = (query_count + threads - 1) / threads;
    try {
        std::vector<std::future<void>> others;  // each waits for its thread when it goes
        for (int64_t first = share; first < query_count; first += share)
            others.push_back(std::async(std::launch::async, scan, std::cref(problem), first,
                                        std::min(first + share, query_count), indices));
        scan(problem, 0, std::min(share, query_count), indices);
        for (auto& other : others) other.get();
    } catch (const std::exception&) {
        return 2;
    }
    return 0;
}

// Whether instruction set `set` can be used here.
extern "C" int has_set(int set) { return scan_of(set) != nullptr; }

// Changes when a function above does, so that a library left over from an older build is not called.
extern "C" int interface_version() { return 1; }

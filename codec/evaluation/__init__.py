"""Metrics, classical baselines, and tables and plots of rate and distortion."""

from codec.evaluation.alignment import Alignment, align
from codec.evaluation.banding import Banding, BandingMeter, banding_index
from codec.evaluation.baselines import BASELINES, Baseline, CodedImage
from codec.evaluation.bd_rate import bd_rate, bd_rate_or_none
from codec.evaluation.block_matching import match_blocks
from codec.evaluation.codebook import CodebookUsage
from codec.evaluation.curves import (
    JPEG_ANCHOR,
    USUAL_RATES,
    CurveComparison,
    CurveReport,
    PointComparison,
    anchor_of,
    compare_curves,
    compare_point,
    report_curves,
)
from codec.evaluation.distributions import Likeness, likeness
from codec.evaluation.flicker import Flicker, FlickerMeter
from codec.evaluation.json_report import to_json
from codec.evaluation.learned_perceptual import LPIPSDistance
from codec.evaluation.measures import MEASURES, Measures, choose_measures
from codec.evaluation.measuring import (
    CURVE_QUALITIES,
    code_with_model,
    is_continuous,
    measure_curve,
    measure_model_curve,
    point_of,
)
from codec.evaluation.mel_distance import MelDistance
from codec.evaluation.ms_ssim import ms_ssim, ms_ssim_batch
from codec.evaluation.perceptual import EfficientNetDistance
from codec.evaluation.plot import check_plot, plot_rate_distortion
from codec.evaluation.psnr import psnr
from codec.evaluation.rate_curve import RateCurve, RatePoint, read_published
from codec.evaluation.report import side_by_side
from codec.evaluation.si_sdr import si_sdr
from codec.evaluation.sound_baselines import SOUND_BASELINES, CodedSound, SoundBaseline
from codec.evaluation.sound_table import (
    SoundResult,
    SoundSummary,
    code_with_sound_model,
    measure_sound,
    summarise_sounds,
)
from codec.evaluation.speech_quality import pesq, stoi, visqol
from codec.evaluation.table import CodecSummary, ImageResult, measure, summarise
from codec.evaluation.video_baselines import VIDEO_BASELINES, EncodedVideo, VideoBaseline
from codec.evaluation.video_quality import VideoQuality, measure_video
from codec.evaluation.video_table import VideoResult, measure_video_baseline, video_curve
from codec.evaluation.vmaf import vmaf, vmaf_is_available
from codec.evaluation.warping import WarpingError, WarpingMeter

__all__ = [
    "BASELINES",
    "CURVE_QUALITIES",
    "JPEG_ANCHOR",
    "MEASURES",
    "SOUND_BASELINES",
    "USUAL_RATES",
    "VIDEO_BASELINES",
    "Alignment",
    "Banding",
    "BandingMeter",
    "Baseline",
    "CodebookUsage",
    "CodecSummary",
    "CodedImage",
    "CodedSound",
    "CurveComparison",
    "CurveReport",
    "EfficientNetDistance",
    "EncodedVideo",
    "Flicker",
    "FlickerMeter",
    "ImageResult",
    "LPIPSDistance",
    "Likeness",
    "Measures",
    "MelDistance",
    "PointComparison",
    "RateCurve",
    "RatePoint",
    "SoundBaseline",
    "SoundResult",
    "SoundSummary",
    "VideoBaseline",
    "VideoQuality",
    "VideoResult",
    "WarpingError",
    "WarpingMeter",
    "align",
    "anchor_of",
    "banding_index",
    "bd_rate",
    "bd_rate_or_none",
    "check_plot",
    "choose_measures",
    "code_with_model",
    "code_with_sound_model",
    "compare_curves",
    "compare_point",
    "is_continuous",
    "likeness",
    "match_blocks",
    "measure",
    "measure_curve",
    "measure_model_curve",
    "measure_sound",
    "measure_video",
    "measure_video_baseline",
    "ms_ssim",
    "ms_ssim_batch",
    "pesq",
    "plot_rate_distortion",
    "point_of",
    "psnr",
    "read_published",
    "report_curves",
    "si_sdr",
    "side_by_side",
    "stoi",
    "summarise",
    "summarise_sounds",
    "to_json",
    "video_curve",
    "visqol",
    "vmaf",
    "vmaf_is_available",
]

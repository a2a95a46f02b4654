"""Metrics, classical baselines, and tables of rate and distortion."""

from codec.evaluation.baselines import BASELINES, Baseline, CodedImage
from codec.evaluation.codebook import CodebookUsage
from codec.evaluation.ms_ssim import ms_ssim, ms_ssim_batch
from codec.evaluation.psnr import psnr
from codec.evaluation.report import side_by_side
from codec.evaluation.table import CodecSummary, ImageResult, measure, summarise, to_json

__all__ = [
    "BASELINES",
    "Baseline",
    "CodebookUsage",
    "CodecSummary",
    "CodedImage",
    "ImageResult",
    "measure",
    "ms_ssim",
    "ms_ssim_batch",
    "psnr",
    "side_by_side",
    "summarise",
    "to_json",
]

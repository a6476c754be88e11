"""Exports a fitted model, or a ready ONNX file, to the folder that the service verifies and serves."""

from service.export.pipeline import export, export_ready

__all__ = ["export", "export_ready"]

"""Tests of the streams: readers of the log that come, go, stall, resume and are told the truth."""

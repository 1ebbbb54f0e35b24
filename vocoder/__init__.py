"""Mel spectrogram to waveform: generators behind one interface, and waveform discriminators."""

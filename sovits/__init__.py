"""SoVITS: variational speaker encoder, mel decoders and mel discriminators."""

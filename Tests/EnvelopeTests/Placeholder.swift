// EnvelopeTests

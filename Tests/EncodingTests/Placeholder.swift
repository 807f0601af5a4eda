// EncodingTests

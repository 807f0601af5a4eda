import Encoding
import Secrets

@testable import Envelope

/// The arena of the test process, started once.
let testHeap: Void = {
    do { try SecureHeap.start(bytes: 1 << 20) } catch { fatalError("no locked memory for tests: \(error)") }
}()

import Secrets

/// Why a box, key or token was not made or opened. Says nothing about which part was wrong: an attacker learns from that.
public enum EnvelopeError: Error, Equatable, Sendable {
    /// Wrong key, wrong associated data, or an altered box: one answer for all.
    case doesNotOpen
    /// A format version or algorithm that this program does not know. Never a reason to try another.
    case unknownFormat
    /// The box names a key of the configuration that is not there.
    case unknownKey(UInt16)
    /// The secure heap is full; answered with 503.
    case exhausted
    /// The other side's public key leads to the all-zero shared secret (RFC 7748 §6.1).
    case weakPublicKey
    /// Too short to be what it should be, or what it holds has the wrong size.
    case malformed
}

/// Runs what takes secure memory. A heap that was never started is a fault of the program that its start refuses, so
/// here there is one reason left.
func takingSecureMemory<Value: ~Copyable>(
    _ body: () throws(SecureHeapError) -> Value
) throws(EnvelopeError) -> Value {
    try takingSecureMemory(orThrowing: EnvelopeError.exhausted, body)
}

func takingSecureMemory<Value: ~Copyable, Failure: Error>(
    orThrowing failure: Failure, _ body: () throws(SecureHeapError) -> Value
) throws(Failure) -> Value {
    do throws(SecureHeapError) { return try body() } catch { throw failure }
}

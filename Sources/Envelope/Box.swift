/// The four bytes in front of every box: format version ‖ algorithm ‖ key id, big endian. They are part of the associated
/// data, so an altered header does not open.
public struct BoxHeader: Equatable, Sendable {
    public enum Algorithm: UInt8, Sendable {
        /// AES-256-GCM: then nonce 12 ‖ ciphertext ‖ tag 16.
        case aes256gcm = 1
        /// RFC 9180, X25519 and AES-256-GCM: then enc 32 ‖ ciphertext ‖ tag 16.
        case hpke = 2
    }

    public static let count = 4
    static let formatVersion: UInt8 = 1

    public let algorithm: Algorithm
    /// Which key of the configuration is needed; 0 under a key that is not of the configuration.
    public let keyID: UInt16

    init(_ algorithm: Algorithm, keyID: UInt16) {
        (self.algorithm, self.keyID) = (algorithm, keyID)
    }

    public init(parsing box: [UInt8]) throws(EnvelopeError) {
        self = try box.withUnsafeBufferPointer { (box) throws(EnvelopeError) in
            try BoxHeader(parsing: UnsafeRawBufferPointer(box))
        }
    }

    init(parsing box: UnsafeRawBufferPointer) throws(EnvelopeError) {
        guard box.count >= Self.count else { throw .malformed }
        guard box[0] == Self.formatVersion, let algorithm = Algorithm(rawValue: box[1]) else { throw .unknownFormat }
        self.init(algorithm, keyID: UInt16(box[2]) << 8 | UInt16(box[3]))
    }

    /// The header of a box that must be of this algorithm.
    init(parsing box: UnsafeRawBufferPointer, expecting algorithm: Algorithm) throws(EnvelopeError) {
        try self.init(parsing: box)
        guard self.algorithm == algorithm else { throw .unknownFormat }
    }

    init(parsing box: [UInt8], expecting algorithm: Algorithm) throws(EnvelopeError) {
        self = try box.withUnsafeBufferPointer { (box) throws(EnvelopeError) in
            try BoxHeader(parsing: UnsafeRawBufferPointer(box), expecting: algorithm)
        }
    }

    func write(to out: UnsafeMutablePointer<UInt8>) {
        out[0] = Self.formatVersion
        out[1] = algorithm.rawValue
        out[2] = UInt8(keyID >> 8)
        out[3] = UInt8(keyID & 0xFF)
    }
}

public enum JSONKind: Equatable, Sendable {
    case object, array, string, number, bool, null
}

/// Why a text is not the JSON that was expected. Carries places (byte offsets) and kinds, never the input itself.
public enum JSONError: Error, Equatable, Sendable {
    case unexpectedEnd
    case unexpectedByte(at: Int)
    case trailingBytes(at: Int)
    case tooDeep(at: Int)
    /// RFC 8259 §8.1.
    case invalidUTF8(at: Int)
    /// RFC 8259 §8.2: half of a surrogate pair stands for no character.
    case loneSurrogate(at: Int)
    /// More of them behind each other than any writing has (`Marks`).
    case tooManyMarks(at: Int)
    case numberOutOfRange(at: Int)
    case wrongKind(expected: JSONKind, found: JSONKind, at: Int)

    /// For the caller of the reader, which alone knows which members there are.
    case duplicateMember(String)
}

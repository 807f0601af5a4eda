/// What a provider or a library calls a failure, as it may stand in a log: what is no plain word is not repeated.
public func shownCode(_ code: String) -> String {
    let isPlain = code.utf8.allSatisfy { byte in
        (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
            || " _-.:'/()".utf8.contains(byte)
    }
    return isPlain && !code.isEmpty && code.utf8.count <= 96 ? code : "a code that is no plain word"
}

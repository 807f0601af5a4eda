@main struct Toolshedd {
    static func main() {}
}

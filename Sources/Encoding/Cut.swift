extension String {
    /// At most so many code points of it: one character can be marks upon marks without end.
    public func cut(to count: Int) -> String {
        utf8.count <= count ? self : String(String.UnicodeScalarView(unicodeScalars.prefix(count)))
    }
}

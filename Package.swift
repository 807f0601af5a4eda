// swift-tools-version: 6.2
import PackageDescription

// Targets in the order of docs/ARCHITECTURE.md: imports go up the page only.

let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

// The same sources twice, which SwiftPM allows only in turn: `swift test` replays the corpus, `make fuzz` sets the variable
// and gets the executable that libFuzzer drives.
let fuzzed: [Target.Dependency] = [
    "Assertions", "CFastCGI", "COpenSSL", "Encoding", "Envelope", "FastCGI", "MCP", "OAuth", "Providers", "Secrets",
]
let fuzz: [Target] =
    Context.environment["TOOLSHED_FUZZ"] == nil
    ? [
        .testTarget(
            name: "FuzzTests", dependencies: fuzzed, path: "Tests/Fuzz", exclude: ["CLibFuzzer", "Driver.swift"],
            swiftSettings: settings)
    ]
    : [
        .systemLibrary(name: "CLibFuzzer", path: "Tests/Fuzz/CLibFuzzer"),
        .executableTarget(
            name: "fuzz", dependencies: fuzzed + ["CLibFuzzer"], path: "Tests/Fuzz",
            exclude: ["CLibFuzzer", "ReplayTests.swift"], swiftSettings: settings),
    ]

let package = Package(
    name: "toolshed",
    products: [
        .executable(name: "toolshedd", targets: ["toolshedd"]),
        .executable(name: "toolshed", targets: ["toolshed"]),
        // For plugins written in Swift; example-plugin shows how (docs/CLIENTS.md).
        .library(name: "ToolshedClient", targets: ["ToolshedClient"]),
        .executable(name: "example-plugin", targets: ["example-plugin"]),
    ],
    dependencies: [
        .package(url: "https://github.com/groue/GRDB.swift", exact: "7.10.0"),
        .package(url: "https://github.com/jpsim/Yams", exact: "6.2.2"),
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
    ],
    targets: [
        // 0  what Swift cannot import by itself, each shim with its reason
        .systemLibrary(name: "CFastCGI", providers: [.apt(["libfcgi-dev"])]),
        .systemLibrary(name: "COpenSSL", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
        .target(name: "CLinux"),
        .target(name: "CSQLite", linkerSettings: [.linkedLibrary("sqlite3")]),

        // 1
        .target(name: "Encoding", swiftSettings: settings),
        .target(name: "Threads", swiftSettings: settings),
        .target(name: "Secrets", dependencies: ["CLinux", "COpenSSL"], swiftSettings: settings),
        .target(name: "FastCGI", dependencies: ["CFastCGI", "CLinux", "Threads"], swiftSettings: settings),

        // 2
        .target(name: "OAuth", dependencies: ["Encoding", "Secrets"], swiftSettings: settings),
        .target(name: "MCP", dependencies: ["Encoding", "OAuth"], swiftSettings: settings),
        .target(name: "Envelope", dependencies: ["COpenSSL", "Encoding", "Secrets"], swiftSettings: settings),

        // 3
        .target(
            name: "Assertions", dependencies: ["COpenSSL", "Encoding", "Envelope", "OAuth", "Secrets"],
            swiftSettings: settings),
        .target(
            name: "Providers", dependencies: ["Encoding", "OAuth", "Secrets", .product(name: "Yams", package: "Yams")],
            resources: [
                .embedInCode("catalog.yaml"), .embedInCode("scopes.yaml"), .embedInCode("operations.yaml"),
            ],
            swiftSettings: settings),
        .target(
            name: "ProviderHTTP", dependencies: ["CCurl", "CLinux", "Encoding", "OAuth", "Secrets"],
            swiftSettings: settings),
        .target(
            name: "Vault",
            dependencies: [
                "CLinux", "CSQLite", "Encoding", "Envelope", "OAuth", "Secrets",
                .product(name: "GRDB", package: "GRDB.swift"), .product(name: "GRDBSQLite", package: "GRDB.swift"),
            ],
            swiftSettings: settings),

        // 4
        .target(
            name: "Settings",
            dependencies: ["Encoding", "Envelope", "OAuth", "Providers", "Secrets"],
            swiftSettings: settings),

        // 5
        .target(
            name: "Broker",
            dependencies: [
                "Assertions", "CFastCGI", "COpenSSL", "Encoding", "Envelope", "OAuth", "ProviderHTTP", "Providers",
                "Secrets",
                "Settings", "Vault",
            ],
            swiftSettings: settings),

        // 6
        .target(
            name: "Gateway",
            dependencies: [
                "Broker", "CLinux", "Encoding", "Envelope", "FastCGI", "MCP", "OAuth", "ProviderHTTP", "Providers",
                "Secrets", "Settings", "Threads", "Vault", .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),
        .target(
            name: "Keeper",
            dependencies: [
                "Broker", "CLinux", "Encoding", "Envelope", "OAuth", "ProviderHTTP", "Providers", "Secrets", "Settings",
                "Threads", "Vault", .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),
        .target(name: "Supervisor", dependencies: ["CLinux"], swiftSettings: settings),

        .executableTarget(
            name: "toolshedd",
            dependencies: [
                "Broker", "CLinux", "Encoding", "Envelope", "FastCGI", "Gateway", "Keeper", "OAuth", "Providers",
                "Secrets", "Settings", "Supervisor", "Threads", "Vault",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),

        .target(name: "ToolshedClient", dependencies: ["CCurl", "COpenSSL", "Encoding"], swiftSettings: settings),
        .executableTarget(
            name: "toolshed",
            dependencies: [
                "CLinux", "Encoding", "Envelope", "OAuth", "Secrets", "ToolshedClient",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: settings),
        .executableTarget(
            name: "example-plugin", dependencies: ["ToolshedClient"], path: "clients/examples/swift",
            swiftSettings: settings),

        // What only `make bench` needs.
        .executableTarget(
            name: "bench-seed",
            dependencies: [
                "Encoding", "Envelope", "OAuth", "Secrets", "Settings", "Vault",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "bench/seed", swiftSettings: settings),
        .executableTarget(
            name: "bench-vend",
            dependencies: [
                "Broker", "Envelope", "FastCGI", "Gateway", "ProviderHTTP", "Secrets", "Settings", "Threads",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            path: "bench/vend", swiftSettings: settings),

        .testTarget(name: "EncodingTests", dependencies: ["Encoding"], swiftSettings: settings),
        .testTarget(
            name: "EnvelopeTests", dependencies: ["CLinux", "Encoding", "Envelope", "Secrets"], swiftSettings: settings),
        .testTarget(
            name: "FastCGITests", dependencies: ["CLinux", "FastCGI", "Threads"], swiftSettings: settings),
        .testTarget(name: "SupervisorTests", dependencies: ["CLinux", "Supervisor"], swiftSettings: settings),
        .testTarget(
            name: "OAuthTests", dependencies: ["Encoding", "Envelope", "OAuth", "Secrets"], swiftSettings: settings),
        .testTarget(name: "MCPTests", dependencies: ["Encoding", "MCP", "OAuth"], swiftSettings: settings),
        .testTarget(
            name: "AssertionsTests", dependencies: ["Assertions", "Encoding", "Envelope", "OAuth"],
            swiftSettings: settings),
        .testTarget(
            name: "ProvidersTests", dependencies: ["Encoding", "Envelope", "OAuth", "Providers", "Secrets"],
            swiftSettings: settings
        ),
        .testTarget(
            name: "ProviderHTTPTests", dependencies: ["Encoding", "OAuth", "ProviderHTTP", "Providers", "Secrets"],
            swiftSettings: settings),
        .testTarget(
            name: "SettingsTests", dependencies: ["Encoding", "OAuth", "Providers", "Secrets", "Settings"],
            swiftSettings: settings),
        .testTarget(
            name: "VaultTests",
            dependencies: [
                "Encoding", "Envelope", "OAuth", "Secrets", "Vault", .product(name: "GRDB", package: "GRDB.swift"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "BrokerTests",
            dependencies: ["Broker", "Encoding", "Envelope", "OAuth", "Providers", "Secrets", "Settings", "Vault"],
            swiftSettings: settings),
        .testTarget(name: "GatewayTests", dependencies: ["Encoding", "Gateway"], swiftSettings: settings),
        .testTarget(
            name: "KeeperTests",
            dependencies: [
                "Broker", "Encoding", "Envelope", "Gateway", "Keeper", "OAuth", "ProviderHTTP", "Providers", "Secrets",
                "Threads", "Vault", .product(name: "GRDB", package: "GRDB.swift"),
            ],
            swiftSettings: settings),
    ] + fuzz
)

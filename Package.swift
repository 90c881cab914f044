// swift-tools-version: 6.2
import PackageDescription

/// `ROOMS=Store,Wire swift test` builds only the named targets, what they need, and their tests. A change in one room
/// then costs the build of that room and not of the whole house.
let rooms = Context.environment["ROOMS"].map { Set($0.split(separator: ",").map(String.init)) }

let strict: [SwiftSetting] = [
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

/// A library target and its test target. The layers are those of docs/ARCHITECTURE.md; `Tests/ArchitectureTests` checks
/// them, that imports point downward only, and that what is declared is used.
///
/// - Parameter tests: what only the tests need.
func room(
  _ name: String, _ dependencies: [Target.Dependency] = [], tests: [Target.Dependency] = []
) -> [Target] {
  [
    .target(name: name, dependencies: dependencies, swiftSettings: strict),
    .testTarget(
      name: "\(name)Tests", dependencies: [.byName(name: name)] + dependencies + tests, swiftSettings: strict),
  ]
}

let nio: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let posix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let embedded: Target.Dependency = .product(name: "NIOEmbedded", package: "swift-nio")
let http1: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let http2: Target.Dependency = .product(name: "NIOHTTP2", package: "swift-nio-http2")
let hpack: Target.Dependency = .product(name: "NIOHPACK", package: "swift-nio-http2")
let webSocket: Target.Dependency = .product(name: "NIOWebSocket", package: "swift-nio")
let tls: Target.Dependency = .product(name: "NIOSSL", package: "swift-nio-ssl")
let handshake: Target.Dependency = .product(name: "NIOTLS", package: "swift-nio")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

var targets: [Target] = [
  // What tests share. It has no layer: nothing of the product may use it.
  .target(name: "TestKit", path: "Tests/TestKit", swiftSettings: strict),
  .target(
    name: "HTTPTestKit", dependencies: ["TestKit", nio, posix, http1, tls], path: "Tests/HTTPTestKit",
    swiftSettings: strict),
  // Layer 0
  .target(name: "CLinux"),
  .systemLibrary(name: "CYAML", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),
  .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
  .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
  .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
  .systemLibrary(name: "CCrypt", providers: [.apt(["libcrypt-dev"])]),
  .systemLibrary(name: "COpenSSL", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
]
// Layer 1
targets += room("Protobuf")
targets += room("Wire", ["CYAML"], tests: ["TestKit"])
// Layer 2
targets += room("Cryptography", ["COpenSSL", "Wire"], tests: ["TestKit"])
targets += room("LinuxSystem", ["CLinux", "Wire"], tests: ["TestKit"])
targets += room("Telemetry", ["Wire", logging])
targets += room("SQLite", ["CSQLite"])
// Layer 3
targets += room("Schema", ["Wire"], tests: ["TestKit"])
targets += room(
  "HTTP",
  [
    "CZlib", "Cryptography", "LinuxSystem", "Wire", nio, posix, http1, http2, hpack, webSocket, tls, handshake,
  ], tests: ["HTTPTestKit", "TestKit", embedded])
targets += room("OCI", ["Cryptography", "Wire"], tests: ["TestKit"])
targets += room("Dockerfile", ["Wire"], tests: ["TestKit"])
// Layer 4
targets += room("RPC", ["HTTP", nio, http1], tests: [posix])
targets += room("KubeTypes", ["Schema", "Wire"], tests: ["TestKit"])
targets += room("Layers", ["CZlib", "CZstd", "LinuxSystem", "OCI", "Wire"], tests: ["TestKit"])
// Layer 5
targets += room("Content", ["Layers", "LinuxSystem", "OCI", "SQLite", "Wire"], tests: ["TestKit"])
targets += room("CRI", ["HTTP", "Protobuf", "RPC", "Wire", nio, http1], tests: ["HTTPTestKit", posix])
targets += room("Routing", ["KubeTypes", "Wire"])
targets += room(
  "Store", ["HTTP", "KubeTypes", "LinuxSystem", "Protobuf", "RPC", "SQLite", "Wire", nio], tests: ["TestKit"])
targets += room(
  "KubeClient", ["HTTP", "KubeTypes", "Schema", "Wire", nio, posix, http1], tests: ["HTTPTestKit", "TestKit"])
// Layer 6
targets += room(
  "ControllerKit", ["KubeClient", "KubeTypes", "LinuxSystem", "Schema", "Telemetry", "Wire", arguments, logging])
targets += room(
  "Containers",
  ["CLinux", "CRI", "KubeClient", "Layers", "LinuxSystem", "Protobuf", "RPC", "Wire", nio, logging],
  tests: ["HTTP", "HTTPTestKit", posix, http1])
targets += room(
  "Distribution", ["Content", "HTTP", "LinuxSystem", "OCI", "Wire", nio, posix, http1],
  tests: ["HTTPTestKit", "TestKit"])
// Layer 7
targets += room(
  "APIServer",
  [
    "ControllerKit", "Cryptography", "HTTP", "KubeClient", "KubeTypes", "LinuxSystem", "Protobuf", "Schema",
    "Store", "Telemetry", "Wire", nio, posix, http1, tls, logging,
  ], tests: ["TestKit", embedded])
targets += room("Workloads", ["ControllerKit", "KubeClient", "KubeTypes", "Schema", "Telemetry", "Wire"])
targets += room("Scheduler", ["ControllerKit", "KubeClient", "KubeTypes", "Schema", "Telemetry", "Wire", logging])
targets += room(
  "Node",
  [
    "CRI", "Containers", "Content", "ControllerKit", "Distribution", "HTTP", "KubeClient", "KubeTypes", "Layers",
    "LinuxSystem", "OCI", "Protobuf", "Schema", "RPC", "Wire", nio, posix, http1, logging,
  ])
targets += room(
  "PodNetwork",
  [
    "ControllerKit", "KubeClient", "KubeTypes", "LinuxSystem", "Routing", "Schema", "Telemetry", "Wire", nio, posix,
    logging,
  ], tests: ["TestKit"])
targets += room(
  "Registry",
  [
    "CCrypt", "Content", "Cryptography", "Distribution", "HTTP", "Layers", "LinuxSystem", "OCI", "Telemetry", "Wire",
    nio, posix, http1, tls, logging,
  ], tests: ["TestKit"])
targets += room(
  "ImageBuilder",
  ["CLinux", "Containers", "Content", "Distribution", "Dockerfile", "Layers", "LinuxSystem", "OCI", "Wire", nio],
  tests: ["TestKit"])
// Layer 8
targets += [
  .executableTarget(
    name: "apus",
    dependencies: [
      "APIServer", "CLinux", "Containers", "Content", "ControllerKit", "Distribution", "Dockerfile", "HTTP",
      "ImageBuilder", "KubeClient", "KubeTypes", "LinuxSystem", "Node", "OCI", "PodNetwork", "Registry", "Scheduler",
      "Schema", "Store", "Telemetry", "Wire", "Workloads", arguments, logging, tls,
    ], swiftSettings: strict),
  // The composition root as it is, with capabilities of the tests' own.
  .testTarget(
    name: "apusTests",
    dependencies: [
      "apus", "APIServer", "ControllerKit", "KubeClient", "KubeTypes", "LinuxSystem", "Schema", "Wire", arguments,
    ], swiftSettings: strict),
  // The cluster as a whole on one thread and one clock.
  .testTarget(
    name: "SimulationTests",
    dependencies: [
      "APIServer", "ControllerKit", "KubeClient", "KubeTypes", "LinuxSystem", "Scheduler", "Schema", "Store",
      "Telemetry", "TestKit", "Wire", "Workloads", embedded, logging, nio,
    ], swiftSettings: strict),
  .executableTarget(name: "schemac", dependencies: ["Schema", arguments], swiftSettings: strict),
  .testTarget(name: "ArchitectureTests", swiftSettings: strict),
]

if let rooms {
  func localNames(_ target: Target) -> [String] {
    target.dependencies.compactMap { dependency in
      switch dependency {
      case .byNameItem(let name, _), .targetItem(let name, _): name
      default: nil
      }
    }
  }
  var wanted = rooms.union(rooms.map { "\($0)Tests" })
  var before = 0
  while wanted.count > before {
    before = wanted.count
    for target in targets where wanted.contains(target.name) { wanted.formUnion(localNames(target)) }
  }
  targets.removeAll { !wanted.contains($0.name) }
}

let package = Package(
  name: "apus",
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
    .package(url: "https://github.com/apple/swift-nio-http2", from: "1.46.0"),
    .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.0"),
  ],
  targets: targets,
  swiftLanguageModes: [.v6]
)

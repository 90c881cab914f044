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

/// A library target and its test target. `Tests/ArchitectureTests` checks that imports point downward only.
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
let webSocket: Target.Dependency = .product(name: "NIOWebSocket", package: "swift-nio")
let tls: Target.Dependency = .product(name: "NIOSSL", package: "swift-nio-ssl")
let x509: Target.Dependency = .product(name: "X509", package: "swift-certificates")
let asn1: Target.Dependency = .product(name: "SwiftASN1", package: "swift-asn1")
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

var targets: [Target] = [
  // Layer 0: bytes and system calls.
  .target(name: "CLinux"),
  .systemLibrary(name: "CYAML", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),
  .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
  .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
  .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
  .systemLibrary(name: "CCrypt", providers: [.apt(["libcrypt-dev"])]),
]
targets += room("Wire", ["CYAML"])
// Layer 1: the machine.
targets += room("LinuxSystem", ["CLinux", "Wire"])
targets += room("Telemetry", ["Wire", logging])
targets += room("SQLite", ["CSQLite"])
// Layer 2: kinds, state, images.
targets += room("Schema", ["Wire"])
targets += room("OCI", ["CZlib", "CZstd", "LinuxSystem", "SQLite", "Wire", crypto])
targets += room("Dockerfile", ["Wire"])
// Layer 3: generated structs; images over the network.
targets += room("KubeTypes", ["Schema", "Wire"])
targets += room("Distribution", ["LinuxSystem", "OCI", "Wire", nio, posix, http1, tls, crypto])
// Layer 4: state; one client protocol.
targets += room("Routing", ["KubeTypes", "Wire"])
targets += room("Store", ["KubeTypes", "LinuxSystem", "SQLite", "Wire"])
targets += room("KubeClient", ["KubeTypes", "Schema", "Wire", nio, posix, http1, tls, x509])
// Layer 5: reconcilers.
targets += room("ControllerKit", ["KubeClient", "KubeTypes", "Schema", "Telemetry", "Wire", logging])
// Layer 6: capabilities. Siblings never import one another.
targets += room(
  "APIServer",
  [
    "CZlib", "KubeClient", "KubeTypes", "LinuxSystem", "Schema", "Store", "Telemetry", "Wire", nio, posix, http1,
    webSocket, tls, x509, asn1, crypto, logging,
  ], tests: [embedded])
targets += room("Workloads", ["ControllerKit", "KubeClient", "KubeTypes", "Schema", "Telemetry", "Wire", logging])
targets += room("Scheduler", ["ControllerKit", "KubeClient", "KubeTypes", "Schema", "Telemetry", "Wire", logging])
targets += room(
  "Node",
  [
    "CLinux", "ControllerKit", "Distribution", "KubeClient", "KubeTypes", "LinuxSystem", "OCI", "Schema", "Telemetry",
    "Wire", nio, posix, http1, tls, logging,
  ])
targets += room(
  "PodNetwork",
  [
    "CLinux", "ControllerKit", "KubeClient", "KubeTypes", "LinuxSystem", "Routing", "Schema", "Telemetry", "Wire",
    nio, posix, logging,
  ])
targets += room(
  "Registry",
  ["CCrypt", "Distribution", "LinuxSystem", "OCI", "Telemetry", "Wire", nio, posix, http1, tls, crypto, logging])
targets += room(
  "ImageBuilder",
  ["CLinux", "Distribution", "Dockerfile", "LinuxSystem", "OCI", "Telemetry", "Wire", nio, posix, crypto, logging])
// Layer 7: the one place where capabilities are put together, and the schema compiler.
targets += [
  .executableTarget(
    name: "apus",
    dependencies: [
      "APIServer", "ControllerKit", "Distribution", "Dockerfile", "ImageBuilder", "KubeClient", "KubeTypes",
      "LinuxSystem", "Node", "OCI", "PodNetwork", "Registry", "Scheduler", "Schema", "Store", "Telemetry", "Wire",
      "Workloads", arguments, logging, posix, nio, tls,
    ], swiftSettings: strict),
  .executableTarget(name: "schemac", dependencies: ["Schema", "Wire", arguments], swiftSettings: strict),
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
    .package(url: "https://github.com/apple/swift-asn1", from: "1.7.0"),
    .package(url: "https://github.com/apple/swift-certificates", from: "1.21.0"),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
    .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.0"),
  ],
  targets: targets,
  swiftLanguageModes: [.v6]
)

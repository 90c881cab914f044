import Glibc
import Testing

/// The layers of the design, lowest first. A target imports only from layers below its own; siblings never import one
/// another.
private let layers: [[String]] = [
  ["CCrypt", "CLinux", "CYAML", "CSQLite", "CZlib", "CZstd"],
  ["Wire"],
  ["LinuxSystem", "SQLite", "Telemetry"],
  ["Dockerfile", "OCI", "Schema"],
  ["Distribution", "KubeTypes"],
  ["KubeClient", "Routing", "Store"],
  ["ControllerKit"],
  ["APIServer", "ImageBuilder", "Node", "PodNetwork", "Registry", "Scheduler", "Workloads"],
  ["apus", "schemac", "benchmark"],
]

@Suite struct ModuleDirectionTests {
  private var root: String {
    // Tests/ArchitectureTests/ModuleDirectionTests.swift, three levels below the package.
    #filePath.split(separator: "/").dropLast(3).reduce(into: "") { $0 += "/" + $1 }
  }

  @Test func everyTargetHasALayer() {
    let known = Set(layers.joined())
    for target in entries(of: root + "/Sources") { #expect(known.contains(target), "\(target) stands in no layer") }
  }

  @Test func importsPointDownward() throws {
    let layerOf = Dictionary(
      uniqueKeysWithValues: layers.enumerated().flatMap { layer, names in names.map { ($0, layer) } })
    var seen = 0
    for (target, layer) in layerOf {
      for file in swiftFiles(below: "\(root)/Sources/\(target)") {
        for line in try text(of: file).split(separator: "\n") {
          let words = line.split(separator: " ")
          guard let at = words.firstIndex(of: "import"), at <= 2, at + 1 < words.count, !line.hasPrefix("//"),
            let imported = layerOf[String(words[at + 1])]
          else { continue }
          seen += 1
          #expect(imported < layer, "\(file): \(target) must not import \(words[at + 1])")
        }
      }
    }
    #expect(seen > 50, "the test must have found the imports it checks")
  }

  /// Full Foundation brings ICU: 40 MB and start-up time.
  @Test func noTargetImportsFullFoundation() throws {
    for target in layers.joined() {
      for file in swiftFiles(below: "\(root)/Sources/\(target)") {
        let lines = try text(of: file).split(separator: "\n")
        #expect(!lines.contains("import Foundation"), "\(file)")
      }
    }
  }

  private func entries(of directory: String) -> [String] {
    guard let handle = opendir(directory) else { return [] }
    defer { closedir(handle) }
    var names: [String] = []
    while let entry = readdir(handle) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if !name.hasPrefix(".") { names.append(name) }
    }
    return names.sorted()
  }

  private func swiftFiles(below directory: String) -> [String] {
    entries(of: directory).flatMap { name in
      name.hasSuffix(".swift") ? ["\(directory)/\(name)"] : swiftFiles(below: "\(directory)/\(name)")
    }
  }

  private func text(of path: String) throws -> String {
    let file = try #require(fopen(path, "r"))
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while case let count = fread(&buffer, 1, buffer.count, file), count > 0 { bytes += buffer[..<count] }
    return String(decoding: bytes, as: UTF8.self)
  }
}

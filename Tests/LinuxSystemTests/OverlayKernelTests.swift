import CLinux
import Glibc
import Testing

@testable import LinuxSystem

private let isEnabled = getenv("APUS_KERNEL_TESTS").map { String(cString: $0) } == "1"

/// What failed: a list of layers was handed to the kernel as an image has it, with the same folder twice, or with more
/// text than an option string holds.
@Suite(.serialized, .enabled(if: isEnabled), .timeLimit(.minutes(2))) struct OverlayKernelTests {
  /// A folder on a file system of its own, which can carry an overlay whatever is below.
  private final class Ground {
    let path: String

    init() throws {
      var template = Array("/tmp/apus-overlay-XXXXXX".utf8CString)
      path = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
      try Mount.tmpfs(target: path, mode: 0o700)
    }

    deinit {
      try? Mount.unmountTree(path)
      rmdir(path)
    }

    func folder(_ name: String) throws -> String {
      try Directory.create("\(path)/\(name)")
      return "\(path)/\(name)"
    }
  }

  /// What is at a path: a folder, or the number that a file holds.
  private enum Node: Equatable { case folder, file(UInt64) }

  /// One thing of a layer.
  private enum Entry { case folder(isOpaque: Bool), file(UInt64), whiteout }

  private typealias Layer = [(path: String, entry: Entry)]

  /// `layer.md`: what a layer does to what is below it.
  private static func apply(_ layer: Layer, to state: inout [String: Node]) {
    func clear(below path: String) { state = state.filter { !$0.key.hasPrefix(path + "/") } }
    for (path, entry) in layer {
      switch entry {
      case .folder(let isOpaque):
        if state[path] != .folder || isOpaque { clear(below: path) }
        state[path] = .folder
      case .file(let value):
        clear(below: path)
        state[path] = .file(value)
      case .whiteout:
        clear(below: path)
        state[path] = nil
      }
    }
  }

  private static func write(_ layer: Layer, to root: String) throws {
    let tree = try DirectoryTree(root)
    for (path, entry) in layer {
      switch entry {
      case .folder(let isOpaque):
        try tree.createDirectory(path)
        if isOpaque { try tree.setExtendedAttribute(path, name: "trusted.overlay.opaque", value: Array("y".utf8)) }
      case .file(let value): try DurableFile.write(Array("\(value)".utf8), to: "\(root)/\(path)")
      case .whiteout: try tree.createNode(path, mode: S_IFCHR)
      }
    }
  }

  private static func read(_ root: String, _ prefix: String = "", into state: inout [String: Node]) throws {
    for name in try Directory.list("\(root)/\(prefix)") {
      let path = prefix + name
      var status = stat()
      // Where nothing is merged, the kernel lists the names that whiteouts hide; nothing is there.
      guard lstat("\(root)/\(path)", &status) == 0 else { continue }
      if status.st_mode & S_IFMT == S_IFDIR {
        state[path] = .folder
        try read(root, path + "/", into: &state)
      } else {
        let text = String(decoding: try DurableFile.read("\(root)/\(path)", limit: 100), as: UTF8.self)
        state[path] = .file(try #require(UInt64(text)))
      }
    }
  }

  private static func random(_ generator: inout Random, depth: Int = 0, prefix: String = "", number: UInt64) -> Layer {
    var layer: Layer = []
    for name in ["a", "b", "c"] {
      switch generator.next(below: 8) {
      case 0: layer.append((prefix + name, .file(number)))
      case 1: layer.append((prefix + name, .whiteout))
      case 2, 3,
        4 where depth < 2:
        layer.append((prefix + name, .folder(isOpaque: generator.next(below: 4) == 0)))
        layer += random(&generator, depth: depth + 1, prefix: prefix + name + "/", number: number)
      default: break
      }
    }
    return layer
  }

  private struct Random {
    var state: UInt64
    mutating func next(below limit: UInt64) -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (state >> 33) % limit
    }
  }

  /// Any stack with repetitions looks as if its layers had been applied one after the other, each as often as it is there.
  @Test(arguments: [1, 2, 3, 4] as [UInt64]) func repeatedLayersKeepTheirMeaning(seed: UInt64) throws {
    var generator = Random(state: seed)
    let ground = try Ground()
    for round in 0..<60 {
      var layers: [(folder: String, layer: Layer)] = []
      for index in 0..<3 {
        let layer = Self.random(&generator, number: UInt64(index))
        let folder = try ground.folder("\(round)-\(index)")
        try Self.write(layer, to: folder)
        layers.append((folder, layer))
      }
      // Bottom first: each layer once, and then what chance adds.
      var order = [0, 1, 2]
      for _ in 0..<(1 + generator.next(below: 5)) {
        order.insert(Int(generator.next(below: 3)), at: Int(generator.next(below: UInt64(order.count + 1))))
      }
      var wanted: [String: Node] = [:]
      for index in order { Self.apply(layers[index].layer, to: &wanted) }
      let target = try ground.folder("\(round)-root")
      let (upper, work) = (try ground.folder("\(round)-upper"), try ground.folder("\(round)-work"))
      try Mount.overlay(
        lower: order.reversed().map { layers[$0].folder }, upper: upper, work: work, target: target)
      defer { try? Mount.unmount(target, detach: true) }
      var found: [String: Node] = [:]
      try Self.read(target, into: &found)
      #expect(found == wanted, "seed \(seed), round \(round), order \(order), \(layers.map(\.layer))")
    }
  }

  /// One folder, however often it is there, can also be shown without a place for changes.
  @Test(arguments: [1, 2, 5]) func onlyOneFolder(count: Int) throws {
    let ground = try Ground()
    let (layer, target) = (try ground.folder("layer"), try ground.folder("root"))
    try DurableFile.write([1], to: "\(layer)/f")
    try Mount.overlay(lower: .init(repeating: layer, count: count), upper: nil, work: nil, target: target)
    defer { try? Mount.unmount(target, detach: true) }
    #expect(try Directory.list(target) == ["f"])
    #expect(throws: SystemError.self) { try DurableFile.write([1], to: "\(target)/g") }
  }

  private func layers(_ count: Int, on ground: Ground) throws -> [String] {
    // As long as a layer's folder in a store is.
    let name = String(repeating: "0123456789abcdef", count: 4)
    return try (0..<count).map { index in
      let folder = try ground.folder("\(name)-\(index)/fs")
      try DurableFile.write([UInt8(index & 0xFF)], to: "\(folder)/\(index)")
      try DurableFile.write([UInt8(index & 0xFF)], to: "\(folder)/top")
      return folder
    }
  }

  private func check(_ target: String, count: Int) throws {
    #expect(try Directory.list(target).count == count + 1)
    #expect(try DurableFile.read("\(target)/top", limit: 9) == [0])
    try DurableFile.write([7], to: "\(target)/new")
  }

  @Test(arguments: [30, 41, 42, 43, 101, 128, 300, 500]) func manyLayers(count: Int) throws {
    let ground = try Ground()
    let layers = try layers(count, on: ground)
    let (upper, work, target) = (try ground.folder("u"), try ground.folder("w"), try ground.folder("r"))
    // With repetitions: it is the number of different ones that counts.
    try Mount.overlay(lower: layers + layers, upper: upper, work: work, target: target, isVolatile: true)
    defer { try? Mount.unmount(target, detach: true) }
    try check(target, count: count)
  }

  /// As before Linux 6.7, which is what Debian 12 has.
  @Test(arguments: [1, 41, 128, 200]) func manyLayersByDescriptors(count: Int) throws {
    let ground = try Ground()
    let layers = try layers(count, on: ground)
    let (upper, work, target) = (try ground.folder("u"), try ground.folder("w"), try ground.folder("r"))
    try Mount.overlayByDescriptors(lower: layers, upper: upper, work: work, target: target, isVolatile: true)
    defer { try? Mount.unmount(target, detach: true) }
    try check(target, count: count)
    let error = #expect(throws: SystemError.self) {
      try Mount.overlayByDescriptors(
        lower: .init(repeating: layers[0], count: 400), upper: nil, work: nil, target: target, isVolatile: false)
    }
    #expect(error?.errno == E2BIG)
  }

  /// In mount(2)'s options a comma and a colon separate, also before a mark that Swift joins to them.
  @Test(arguments: ["a,b", "a:b", "a\\b", "a,\u{301}b", "a:\u{301}b", "a\\\u{301}b", "lowerdir=x"])
  func namesWithSeparators(name: String) throws {
    let ground = try Ground()
    let (first, second) = (try ground.folder(name), try ground.folder("second"))
    try DurableFile.write([1], to: "\(first)/f")
    let target = try ground.folder("root")
    try Mount.overlay(lower: [first, second], upper: nil, work: nil, target: target)
    defer { try? Mount.unmount(target, detach: true) }
    #expect(try Directory.list(target) == ["f"])
  }
}

import Glibc
import LinuxSystem
import Wire

@testable import OCI

/// A folder that is removed at the end of the test.
final class TemporaryFolder: Sendable {
  let path: String

  init() {
    var template = Array("/tmp/apus-oci-XXXXXX".utf8CString)
    path = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
  }

  deinit { try? Directory.removeTree(path) }

  func write(_ bytes: [UInt8], _ name: String) throws -> String {
    try DurableFile.write(bytes, to: "\(path)/\(name)")
    return "\(path)/\(name)"
  }
}

/// Makes tar archives, good and bad ones.
struct TarBuilder {
  var bytes: [UInt8] = []

  mutating func header(
    _ name: String, type: Character = "0", size: Int = 0, mode: Int = 0o644, target: String = "", owner: Int = 0,
    major: Int = 0, minor: Int = 0
  ) {
    var block = [UInt8](repeating: 0, count: 512)
    func put(_ text: String, _ offset: Int, _ count: Int) {
      for (index, byte) in text.utf8.prefix(count).enumerated() { block[offset + index] = byte }
    }
    func octal(_ value: Int, _ offset: Int, _ count: Int) {
      let digits = String(value, radix: 8)
      put(String(repeating: "0", count: count - 1 - digits.count) + digits, offset, count)
    }
    put(name, 0, 100)
    octal(mode, 100, 8)
    octal(owner, 108, 8)
    octal(owner, 116, 8)
    octal(size, 124, 12)
    octal(1_600_000_000, 136, 12)
    block[156] = type.asciiValue!
    put(target, 157, 100)
    put("ustar\u{0}00", 257, 8)
    octal(major, 329, 8)
    octal(minor, 337, 8)
    for index in 148..<156 { block[index] = 0x20 }
    let sum = block.reduce(0) { $0 + Int($1) }
    octal(sum, 148, 7)
    bytes += block
  }

  mutating func content(_ data: [UInt8]) {
    bytes += data
    bytes += [UInt8](repeating: 0, count: (512 - data.count % 512) % 512)
  }

  mutating func file(_ name: String, _ data: [UInt8], mode: Int = 0o644, owner: Int = 0) {
    header(name, size: data.count, mode: mode, owner: owner)
    content(data)
  }

  mutating func file(_ name: String, _ text: String, mode: Int = 0o644) { file(name, Array(text.utf8), mode: mode) }

  mutating func folder(_ name: String, mode: Int = 0o755) { header(name, type: "5", mode: mode) }

  mutating func pax(_ records: [(String, String)]) {
    var data: [UInt8] = []
    for (key, value) in records {
      let rest = " \(key)=\(value)\n".utf8.count
      var length = rest + 1
      while String(length).utf8.count + rest != length { length = String(length).utf8.count + rest }
      data += Array("\(length) \(key)=\(value)\n".utf8)
    }
    header("pax", type: "x", size: data.count)
    content(data)
  }

  mutating func longName(_ name: String, type: Character = "L") {
    let data = Array(name.utf8) + [0]
    header("././@LongLink", type: type, size: data.count)
    content(data)
  }

  func finish() -> [UInt8] { bytes + [UInt8](repeating: 0, count: 1024) }
}

/// An image as an archive.
struct ImageBuilder {
  var layers: [[UInt8]]
  /// How a layer is stored; identity when it is not compressed.
  var compress: ([UInt8]) throws -> [UInt8] = { $0 }
  var architecture = machineArchitecture
  var diffIDs: [String]?

  func config() -> [UInt8] {
    let ids = diffIDs ?? layers.map { Digest(of: $0).description }
    let json: JSON = [
      "architecture": .string(architecture), "os": "linux",
      "config": [
        "Entrypoint": ["/app"], "Cmd": ["serve"], "Env": ["A=1"], "User": "1000", "WorkingDir": "/w",
        "ExposedPorts": ["8080/tcp": [:]], "Labels": ["l": "v"], "StopSignal": "SIGTERM",
      ],
      "rootfs": ["type": "layers", "diff_ids": .array(ids.map { .string($0) })],
    ]
    return json.serialized()
  }

  func ociTar(name: String?, omitting omitted: Digest? = nil, damaging: Digest? = nil) throws -> [UInt8] {
    var tar = TarBuilder()
    func blob(_ bytes: [UInt8], _ type: String) -> JSON {
      let digest = Digest(of: bytes)
      if digest != omitted {
        tar.file("blobs/sha256/\(digest.hex)", digest == damaging ? bytes.dropLast() + [0xFF] : bytes)
      }
      return Descriptor(mediaType: type, digest: digest, size: Int64(bytes.count)).json
    }
    let config = blob(config(), MediaType.config)
    let stored = try layers.map { blob(try compress($0), MediaType.layer) }
    let manifest: JSON = ["schemaVersion": 2, "config": config, "layers": .array(stored)]
    var entry = blob(manifest.serialized(), MediaType.manifest)
    if let name { entry["annotations"] = ["org.opencontainers.image.ref.name": .string(name)] }
    tar.file("oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}")
    tar.file("index.json", (["schemaVersion": 2, "manifests": [entry]] as JSON).serialized())
    return tar.finish()
  }

  func dockerTar(tags: [String]) throws -> [UInt8] {
    var tar = TarBuilder()
    var names: [JSON] = []
    for (index, layer) in layers.enumerated() {
      tar.file("layer\(index)/layer.tar", try compress(layer))
      names.append(.string("layer\(index)/layer.tar"))
    }
    let config = config()
    let name = "\(Digest(of: config).hex).json"
    tar.file(name, config)
    let entry: JSON = ["Config": .string(name), "RepoTags": .array(tags.map { .string($0) }), "Layers": .array(names)]
    tar.file("manifest.json", JSON.array([entry]).serialized())
    return tar.finish()
  }
}

func layer(_ build: (inout TarBuilder) -> Void) -> [UInt8] {
  var tar = TarBuilder()
  build(&tar)
  return tar.finish()
}

/// Compresses with the machine's own program.
func compressed(_ bytes: [UInt8], with program: String) async throws -> [UInt8] {
  try await Subprocess.run(program, ["-c"], stdin: bytes, outputLimit: 1 << 26).stdout
}

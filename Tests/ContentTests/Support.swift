import Layers
import LinuxSystem
import OCI
import TestKit
import Wire

@testable import Content

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

/// What an archive has, by the members' names.
func members(of archive: [UInt8]) throws -> [String: [UInt8]] {
  var reader = TarReader(MemorySource(archive), label: "test")
  var members: [String: [UInt8]] = [:]
  while let entry = try reader.next() {
    var content: [UInt8] = []
    try reader.forEachPiece { content.append(contentsOf: $0) }
    members[entry.path] = content
  }
  return members
}

import LinuxSystem
import OCI
import Synchronization
import Wire

@testable import Content

/// A clock that a test moves.
final class TestClock: TimeSource {
  private let micros = Mutex<Int64>(1_700_000_000_000_000)

  func now() -> Timestamp { Timestamp(microseconds: micros.withLock { $0 }) }
  func advance(_ duration: Duration) { micros.withLock { $0 += duration.microseconds } }
  func sleep(for duration: Duration) async throws { advance(duration) }
}

/// Content for repositories: what clients push.
struct Content {
  var config: [UInt8]
  var layers: [[UInt8]]
  var manifest: [UInt8]
  var digest: Digest { Digest(of: manifest) }

  /// - Parameter seed: makes the content unlike any other's.
  init(
    _ seed: String, layers: Int = 2, size: Int = 100, shared: [[UInt8]] = [], subject: [UInt8]? = nil,
    type: String? = nil
  ) {
    config = Array("{\"config\": \"\(seed)\"}".utf8)
    self.layers = shared
    for index in 0..<layers {
      let text = Array("\(seed)/\(index)/".utf8)
      self.layers.append(text + [UInt8](repeating: 7, count: max(0, size - text.count)))
    }
    func descriptor(_ bytes: [UInt8], _ type: String) -> JSON {
      Descriptor(mediaType: type, digest: Digest(of: bytes), size: Int64(bytes.count)).json
    }
    var json: JSON = [
      "schemaVersion": 2, "mediaType": .string(MediaType.manifest), "config": descriptor(config, MediaType.config),
      "layers": .array(self.layers.map { descriptor($0, MediaType.layer) }), "annotations": ["seed": .string(seed)],
    ]
    if let subject { json["subject"] = descriptor(subject, MediaType.manifest) }
    if let type { json["artifactType"] = .string(type) }
    manifest = json.serialized()
  }

  var blobs: [[UInt8]] { [config] + layers }

  static func index(_ manifests: [[UInt8]], seed: String = "") -> [UInt8] {
    let list = manifests.map {
      Descriptor(mediaType: MediaType.manifest, digest: Digest(of: $0), size: Int64($0.count)).json
    }
    return
      ([
        "schemaVersion": 2, "mediaType": .string(MediaType.index), "manifests": .array(list),
        "annotations": ["seed": .string(seed)],
      ] as JSON).serialized()
  }
}

extension ContentStore {
  /// Pushes as a client of a registry does.
  func push(_ content: Content, to repository: Repository, tags: [String] = []) throws {
    for blob in content.blobs {
      let upload = try beginUpload(in: repository)
      try upload.append(blob)
      _ = try upload.finish(Digest(of: blob))
    }
    try putManifest(content.manifest, mediaType: MediaType.manifest, tags: tags, in: repository)
  }
}

import Containers
import Distribution
import Glibc
import LinuxSystem
import OCI
import Wire

/// What a process is to do that serves an image's layers while they are fetched. It comes to it on standard input, because
/// it has credentials in it: they are never in arguments, environment or files.
struct LazyOrder: Sendable, Equatable {
  struct Layer: Sendable, Equatable {
    var digest: Digest
    var size: Int64
    var tocDigest: Digest
  }

  /// The manifest's digest.
  var image: Digest
  var registry: String
  var repository: String
  var credentials: Credentials?
  /// The image store.
  var store: String
  /// Its record, its log and the parts of layers; on the store's file system.
  var folder: String
  /// Where the layers are mounted: `0`, `1` and so on.
  var mounts: String
  var deadline: Duration
  var layers: [Layer]

  /// Bytes of an order.
  static let sizeMax = 4 << 20

  func mountPoint(_ index: Int) -> String { "\(mounts)/\(index)" }

  var json: JSON {
    var json: JSON = [
      "image": .string(image.description), "registry": .string(registry), "repository": .string(repository),
      "store": .string(store), "folder": .string(folder), "mounts": .string(mounts),
      "deadlineMilliseconds": .int(deadline.components.seconds * 1000),
      "layers": .array(
        layers.map {
          [
            "digest": .string($0.digest.description), "size": .int($0.size),
            "tocDigest": .string($0.tocDigest.description),
          ]
        }),
    ]
    switch credentials {
    case .basic(let username, let password):
      json["credentials"] = ["username": .string(username), "password": .string(password)]
    case .identityToken(let token): json["credentials"] = ["identityToken": .string(token)]
    case .registryToken(let token): json["credentials"] = ["registryToken": .string(token)]
    case nil: break
    }
    return json
  }
}

extension LazyOrder {
  init?(json: JSON) {
    guard let image = json["image"]?.string.flatMap({ Digest($0) }), let registry = json["registry"]?.string,
      let repository = json["repository"]?.string, let store = json["store"]?.string,
      let folder = json["folder"]?.string, let mounts = json["mounts"]?.string,
      let deadline = json["deadlineMilliseconds"]?.int, let list = json["layers"]?.array
    else { return nil }
    var layers: [Layer] = []
    for entry in list {
      guard let digest = entry["digest"]?.string.flatMap({ Digest($0) }), let size = entry["size"]?.int,
        (1...LazyBlob.sizeMax).contains(size),
        let toc = entry["tocDigest"]?.string.flatMap({ Digest($0) })
      else { return nil }
      layers.append(Layer(digest: digest, size: size, tocDigest: toc))
    }
    self.init(
      image: image, registry: registry, repository: repository, credentials: nil, store: store, folder: folder,
      mounts: mounts, deadline: .milliseconds(deadline), layers: layers)
    let given = json["credentials"]
    if let username = given?["username"]?.string, let password = given?["password"]?.string {
      credentials = .basic(username: username, password: password)
    } else if let token = given?["identityToken"]?.string {
      credentials = .identityToken(token)
    } else if let token = given?["registryToken"]?.string {
      credentials = .registryToken(token)
    }
  }
}

/// What is on disk about such a process, from before its first mount to its end: `record.json` in its folder. The process
/// removes the folder itself when it ends because nobody uses its mounts any more; a folder whose process does not run is
/// what a killed process, or a reboot, has left.
struct LazyRecord: Sendable, Equatable {
  var folder: String
  var image: Digest
  var process: RecordedProcess
  /// Layers and where they are mounted.
  var layers: [Digest: String]
  /// They are. Until then nobody uses them.
  var isReady = false

  /// The layers' files.
  var folders: [Digest: String] { layers.mapValues { "\($0)/\(LazyLayer.folder)" } }

  private static func path(in folder: String) -> String { "\(folder)/record.json" }

  /// The process runs.
  var isAlive: Bool { ProcessWatch.startTime(of: process.pid) == process.startTime }

  static func read(_ folder: String) -> LazyRecord? {
    guard let json = RuntimeFiles.readJSON(path(in: folder)), let image = json["image"]?.string.flatMap({ Digest($0) }),
      let process = RuntimeFiles.process(json["process"])
    else { return nil }
    var layers: [Digest: String] = [:]
    for (digest, path) in RuntimeFiles.strings(json["layers"]) {
      if let digest = Digest(digest) { layers[digest] = path }
    }
    return LazyRecord(
      folder: folder, image: image, process: process, layers: layers, isReady: json["ready"]?.bool != false)
  }

  func write() throws(SystemError) {
    let layers = Dictionary(uniqueKeysWithValues: layers.map { ($0.key.description, $0.value) })
    let json: JSON = [
      "image": .string(image.description), "process": RuntimeFiles.json(process), "layers": RuntimeFiles.json(layers),
      "ready": .bool(isReady),
    ]
    try RuntimeFiles.write(json.serialized(), to: Self.path(in: folder))
  }
}

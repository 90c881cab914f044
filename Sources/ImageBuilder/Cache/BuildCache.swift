import Content
import OCI
import Synchronization
import Wire

/// What a step made: a layer, or none when it changed nothing.
struct CacheRecord: Sendable, Equatable {
  var layer: Image.Layer?
  /// When the step ran; the image's history shows it.
  var created: Timestamp
}

/// The results of steps, by key, as OCI artifacts in a repository of the content store: the tag is the key, the
/// manifest's layer is the layer, so that garbage collection keeps a layer for as long as its record is there.
///
/// Records of imported caches (`--cache-from`) are kept in memory for the build; their layers are fetched when needed.
final class BuildCache: Sendable {
  static let repository = Repository(host: "cache.apus", path: "build")
  static let artifactType = "application/vnd.apus.build.cache.v1+json"
  private static let diffIDKey = "dev.apus.build.diff-id"
  private static let createdKey = "dev.apus.build.created"
  /// The day on which a build last used the record.
  private static let usedKey = "dev.apus.build.used"

  private let content: ContentStore
  private let time: any TimeSource
  private let imported = Mutex<[String: CacheRecord]>([:])
  private let used = Mutex<[String: CacheRecord]>([:])

  init(_ content: ContentStore, time: any TimeSource) {
    self.content = content
    self.time = time
  }

  private var today: String { String(time.now().rfc3339.prefix(10)) }

  /// Looks a key up. A record whose layer has gone from the store counts only when the layer can be had elsewhere.
  /// Blocks.
  func record(_ key: CacheKey, isAvailable: (Image.Layer) -> Bool) throws(BuildError) -> CacheRecord? {
    if let (own, used) = try ownRecord(key) {
      var isHere = true
      if let layer = own.layer, !isAvailable(layer) { isHere = try isWhole(layer) }
      if isHere {
        // Once a day: it is what pruning goes by.
        if used != today { try put(key, own) }
        return use(key, own)
      }
    }
    if let record = imported.withLock({ $0[key.hex] }) { return use(key, record) }
    return nil
  }

  /// Whether a layer's file is there with its length. What is damaged is done again: a cache only saves time.
  private func isWhole(_ layer: Image.Layer) throws(BuildError) -> Bool {
    let file = try stored { () throws(OCIError) in
      try Self.unlessCorrupt { () throws(OCIError) in try content.openBlob(layer.digest) }
    }
    return file?.size == layer.size
  }

  private static func unlessCorrupt<Value>(_ body: () throws(OCIError) -> Value?) throws(OCIError) -> Value? {
    do throws(OCIError) { return try body() } catch {
      guard error.code == .corrupt else { throw error }
      return nil
    }
  }

  private func ownRecord(_ key: CacheKey) throws(BuildError) -> (record: CacheRecord, used: String)? {
    let found = try stored { () throws(OCIError) in
      try Self.unlessCorrupt { () throws(OCIError) in try content.manifest(.tag(key.tag), in: Self.repository) }
    }
    guard let found, let manifest = try? Manifest(found.bytes, label: "cache record \(key)") else { return nil }
    return Self.record(layers: manifest.layers, annotations: manifest.annotations).map {
      ($0, manifest.annotations[Self.usedKey] ?? "")
    }
  }

  static func record(layers: [Descriptor], annotations: [String: String]) -> CacheRecord? {
    guard let created = annotations[createdKey].flatMap({ Timestamp(rfc3339: $0) }) else { return nil }
    guard let text = annotations[diffIDKey] else {
      // One that has a layer and does not say which is damaged: without the layer it would mean that nothing was changed.
      return layers.isEmpty ? CacheRecord(layer: nil, created: created) : nil
    }
    guard let layer = layers.first, let diffID = Digest(text) else { return nil }
    return CacheRecord(layer: Image.Layer(layer, diffID: diffID), created: created)
  }

  private func use(_ key: CacheKey, _ record: CacheRecord) -> CacheRecord {
    used.withLock { $0[key.hex] = record }
    return record
  }

  /// Keeps a record; one whose layer is not in the store only for this build. Blocks.
  func put(_ key: CacheKey, _ record: CacheRecord) throws(BuildError) {
    _ = use(key, record)
    if let layer = record.layer,
      try stored({ () throws(OCIError) in try content.blobSize(layer.digest) }) == nil
    {
      return
    }
    var annotations = [Self.createdKey: record.created.rfc3339Micro, Self.usedKey: today]
    var layers: [Descriptor] = []
    if let layer = record.layer {
      annotations[Self.diffIDKey] = layer.diffID.description
      layers.append(layer.descriptor)
    }
    let manifest = Manifest(
      config: try emptyConfig(), layers: layers, artifactType: Self.artifactType, annotations: annotations)
    _ = try stored { () throws(OCIError) in
      try content.putManifest(
        manifest.json.serialized(), mediaType: MediaType.manifest, tags: [key.tag], in: Self.repository,
        requiring: .present)
    }
  }

  /// The blob `{}`, which artifacts without a configuration name.
  private func emptyConfig() throws(BuildError) -> Descriptor {
    let bytes = Array("{}".utf8)
    let digest = Digest(of: bytes)
    try stored { () throws(OCIError) in
      if try content.blobSize(digest) == nil {
        let lease = try content.lease(for: .seconds(60))
        let writer = try content.newBlob()
        try writer.write(bytes)
        _ = try writer.commit(expecting: digest, lease: lease)
      }
    }
    return Descriptor(mediaType: MediaType.empty, digest: digest, size: Int64(bytes.count))
  }

  /// Forgets the records that were not used for the longest time, as long as the cache takes more than it may. Their layers
  /// go with the store's next collection, unless an image has them. Blocks.
  func prune(bytesMax: Int64) throws(BuildError) {
    try stored { () throws(OCIError) in
      // What was pruned counts in the repository until the store collects it.
      guard try content.usage(of: Self.repository) > bytesMax else { return }
      var records: [(used: String, tag: String, blobs: [Digest])] = []
      // What the records have: a blob that several have is there once, and goes with the last of them.
      var blobs: [Digest: (size: Int64, records: Int)] = [:]
      var after: String?
      while true {
        let tags = try content.tags(in: Self.repository, after: after, limit: 1000)
        for tag in tags {
          let found = try Self.unlessCorrupt { () throws(OCIError) in
            try content.manifest(.tag(tag), in: Self.repository)
          }
          guard let found, let manifest = try? Manifest(found.bytes, label: tag) else {
            // Nobody can read it any more.
            records.append(("", tag, []))
            continue
          }
          var own = [found.digest: found.size]
          for layer in manifest.layers { own[layer.digest] = layer.size }
          for (digest, size) in own { blobs[digest, default: (size, 0)].records += 1 }
          records.append((manifest.annotations[Self.usedKey] ?? "", tag, Array(own.keys)))
        }
        guard tags.count == 1000, let last = tags.last else { break }
        after = last
      }
      var bytes = blobs.values.reduce(0) { $0 + $1.size }
      guard bytes > bytesMax else { return }
      // A tenth more than needed, so that not every build has to.
      for record in records.sorted(by: { $0.used < $1.used }) where bytes > bytesMax / 10 * 9 {
        _ = try content.deleteTag(record.tag, in: Self.repository)
        for digest in record.blobs {
          guard let (size, count) = blobs[digest] else { continue }
          blobs[digest] = (size, count - 1)
          if count == 1 { bytes -= size }
        }
      }
    }
  }

  /// Keeps what came from an imported cache and was used, as far as its layers have been fetched. Blocks.
  func keepImported() throws(BuildError) {
    let known = imported.withLock { $0 }
    for (hex, record) in usedRecords where known[hex] == record { try put(CacheKey(hex: hex), record) }
  }

  /// Takes up what an imported cache says.
  func addImported(_ records: [String: CacheRecord]) {
    imported.withLock { $0.merge(records) { own, _ in own } }
  }

  /// The records that this build looked up or made, by key.
  var usedRecords: [String: CacheRecord] { used.withLock { $0 } }
}

import Content
import Distribution
import Glibc
import Layers
import LinuxSystem
import NIOCore
import OCI
import Wire

/// Caches that go from one machine to another (`--cache-to`, `--cache-from`): one OCI artifact with the records of a
/// build, their layers, and the files of cache mounts.
enum RemoteCache {
  static let artifactType = "application/vnd.apus.build.cache-export.v1+json"
  static let configType = "application/vnd.apus.build.cache-export.config.v1+json"
  private static let exportRepository = Repository(host: "cache.apus", path: "export")

  /// Where a blob can be had.
  enum Location: Sendable, Equatable {
    case registry(Reference)
    /// An OCI layout.
    case folder(String)
  }

  /// The artifact's configuration: what the layers are.
  struct Contents: Sendable, Equatable {
    var records: [String: CacheRecord] = [:]
    /// Archives of cache mounts, by the mount's name in the work folder.
    var mounts: [String: Image.Layer] = [:]

    var json: JSON {
      func layer(_ layer: Image.Layer) -> JSON {
        var json: JSON = [
          "digest": .string(layer.digest.description), "diffID": .string(layer.diffID.description),
          "size": .int(layer.size), "mediaType": .string(layer.mediaType),
        ]
        if let toc = layer.tocDigest { json["tocDigest"] = .string(toc.description) }
        return json
      }
      return [
        "version": 1,
        "records": .array(
          records.sorted { $0.key < $1.key }.map { key, record in
            var json: JSON = ["key": .string(key), "created": .string(record.created.rfc3339Micro)]
            if let made = record.layer { json["layer"] = layer(made) }
            return json
          }),
        "mounts": .array(
          mounts.sorted { $0.key < $1.key }.map { ["name": .string($0.key), "layer": layer($0.value)] }),
      ]
    }

    init() {}

    /// `nil` for another version or form.
    init?(_ json: JSON) {
      guard json["version"]?.int == 1 else { return nil }
      func layer(_ json: JSON?) -> Image.Layer? {
        guard let digest = json?["digest"]?.string.flatMap({ Digest($0) }),
          let diffID = json?["diffID"]?.string.flatMap({ Digest($0) }), let size = json?["size"]?.int,
          let type = json?["mediaType"]?.string
        else { return nil }
        return Image.Layer(
          blob: digest, diffID: diffID, size: size, mediaType: type,
          tocDigest: json?["tocDigest"]?.string.flatMap { Digest($0) })
      }
      for item in json["records"]?.array ?? [] {
        guard let key = item["key"]?.string, let created = item["created"]?.string.flatMap({ Timestamp(rfc3339: $0) })
        else { return nil }
        if let given = item["layer"], layer(given) == nil { return nil }
        records[key] = CacheRecord(layer: layer(item["layer"]), created: created)
      }
      for item in json["mounts"]?.array ?? [] {
        // The name becomes a folder's: nothing but a digest.
        guard let name = item["name"]?.string, Digest("sha256:\(name)") != nil, let archive = layer(item["layer"])
        else { return nil }
        mounts[name] = archive
      }
    }

    var layers: [Image.Layer] {
      var seen = Set<Digest>()
      let all =
        records.sorted { $0.key < $1.key }.compactMap(\.value.layer) + mounts.sorted { $0.key < $1.key }.map(\.value)
      return all.filter { seen.insert($0.digest).inserted }
    }
  }

  // MARK: Importing

  /// Reads what a cache offers. One that is not there yet is no error: the first build has none.
  static func load(_ location: BuildRequest.CacheLocation, session: BuildSession) async throws(BuildError) {
    let shown: String =
      switch location {
      case .registry(let reference): reference
      case .directory(let path): path
      }
    let vertex = session.reporter.start("importing cache manifest from \(shown)")
    do throws(BuildError) {
      let (contents, place) = try await read(location, session: session)
      guard let contents else {
        vertex.status("no cache there")
        return vertex.finish()
      }
      session.cache.addImported(contents.records)
      session.addImported(contents, from: place)
      vertex.finish()
    } catch {
      // A cache only saves time.
      if error.code == .cancelled { throw error }
      vertex.fail(error)
      session.reporter.warn("the cache \(shown) is not used: \(error.message)")
    }
  }

  private static func read(
    _ location: BuildRequest.CacheLocation, session: BuildSession
  ) async throws(BuildError) -> (Contents?, Location) {
    switch location {
    case .registry(let text):
      let reference = try stored { () throws(OCIError) in try Reference(parsing: text) }
      let repository = Repository(host: reference.registry, path: reference.repository)
      do {
        let name: ManifestReference = reference.digest.map { .digest($0) } ?? .tag(reference.tag ?? "latest")
        let found = try await session.client.manifest(
          name, in: repository, credentials: session.credentials(reference))
        let manifest = try Manifest(found.bytes, label: "cache \(text)")
        let stream = try await session.client.blob(
          manifest.config.digest, in: repository, credentials: session.credentials(reference))
        var bytes: [UInt8] = []
        while let buffer = try await stream.next() {
          bytes += buffer.readableBytesView
          guard bytes.count <= 64 << 20 else { throw BuildError(.network, "the cache's list is too long") }
        }
        return (try contents(bytes, manifest, text), .registry(reference))
      } catch let error as DistributionError {
        if error.code == .notFound { return (nil, .registry(reference)) }
        throw BuildError(.network, error.message)
      } catch {
        throw asBuildError(error)
      }
    case .directory(let path):
      guard access("\(path)/index.json", F_OK) == 0 else { return (nil, .folder(path)) }
      let found = try await blocking { () throws(BuildError) -> Contents? in
        func file(_ name: String) throws(BuildError) -> [UInt8] {
          try system { () throws(SystemError) in try DurableFile.read("\(path)/\(name)", limit: 64 << 20) }
        }
        let index = try stored { () throws(OCIError) in
          try Index(
            (try? JSON.parse((try? DurableFile.read("\(path)/index.json", limit: 8 << 20)) ?? [])) ?? .null, label: path
          )
        }
        guard let first = index.manifests.first else { return nil }
        let bytes = try file("blobs/\(first.digest.algorithm.rawValue)/\(first.digest.hex)")
        let manifest = try stored { () throws(OCIError) in try Manifest(bytes, label: path) }
        return try contents(
          try file("blobs/\(manifest.config.digest.algorithm.rawValue)/\(manifest.config.digest.hex)"), manifest, path)
      }
      return (found, .folder(path))
    }
  }

  private static func contents(_ bytes: [UInt8], _ manifest: Manifest, _ label: String) throws(BuildError) -> Contents {
    guard manifest.artifactType == artifactType, Digest(of: bytes) == manifest.config.digest,
      let json = try? JSON.parse(bytes), let contents = Contents(json)
    else { throw BuildError(.unsupported, "\(label) is no cache of apus build") }
    return contents
  }

  /// Gets a layer into the store.
  static func fetch(_ layer: Image.Layer, from location: Location, session: BuildSession) async throws(BuildError) {
    do {
      let writer = try session.content.newBlob()
      switch location {
      case .registry(let reference):
        let stream = try await session.client.blob(
          layer.digest, in: Repository(host: reference.registry, path: reference.repository),
          credentials: session.credentials(reference))
        while let buffer = try await stream.next() { try writer.write(Array(buffer.readableBytesView)) }
        _ = try writer.commit(expecting: layer.digest, lease: session.lease)
      case .folder(let path):
        try await blocking { () throws(BuildError) in
          let file = "\(path)/blobs/\(layer.digest.algorithm.rawValue)/\(layer.digest.hex)"
          try copy(file, layer: layer, to: writer, lease: session.lease)
        }
      }
    } catch let error as DistributionError {
      throw BuildError(.network, "the layer \(layer.digest) of the cache: \(error.message)")
    } catch {
      throw asBuildError(error)
    }
  }

  private static func copy(_ path: String, layer: Image.Layer, to writer: BlobWriter, lease: Lease) throws(BuildError) {
    let fd = open(path, O_RDONLY | O_CLOEXEC)
    guard fd >= 0 else { throw BuildError(SystemError.last("open \(path)")) }
    defer { close(fd) }
    var buffer = [UInt8](repeating: 0, count: 1 << 20)
    while true {
      let count = Glibc.read(fd, &buffer, buffer.count)
      guard count >= 0 else { throw BuildError(SystemError.last("read \(path)")) }
      if count == 0 { break }
      try stored { () throws(OCIError) in try writer.write(Array(buffer[..<count])) }
    }
    _ = try stored { () throws(OCIError) in try writer.commit(expecting: layer.digest, lease: lease) }
  }

  // MARK: Exporting

  static func save(
    _ export: BuildRequest.CacheExport, resultLayers: [Image.Layer], session: BuildSession
  ) async throws(BuildError) {
    try await session.reporter.vertex("exporting cache") { vertex throws(BuildError) in
      var contents = Contents()
      let wanted = Set(resultLayers.map(\.digest))
      contents.records = session.cache.usedRecords.filter { _, record in
        export.includesAllStages || record.layer.map { wanted.contains($0.digest) } ?? true
      }
      // What came from another cache and was not needed is not here: it is brought, so that the export is whole.
      try await session.fetch(contents.records.values.compactMap(\.layer))
      if export.includesMounts {
        for (name, path) in session.cacheMounts.sorted(by: { $0.key < $1.key }) {
          vertex.status("packing cache mount \(name.prefix(12))")
          contents.mounts[name] = try await blocking { () throws(BuildError) in
            let tree = try system { () throws(SystemError) in try SourceTree("\(path)/files") }
            return try session.write(.upper(tree, lowers: nil), options: session.layerOptions(allowsDevices: false))
          }
        }
      }
      let final = contents
      let manifest = try await blocking { () throws(BuildError) -> (bytes: [UInt8], config: StoredBlob) in
        let config = try stored { () throws(OCIError) in
          try session.content.storeBlob(final.json.serialized(), lease: session.lease)
        }
        let manifest = Manifest(
          config: Descriptor(mediaType: configType, digest: config.digest, size: config.size),
          layers: final.layers.map(\.descriptor),
          artifactType: artifactType)
        return (manifest.json.serialized(), config)
      }
      switch export.location {
      case .registry(let text):
        let reference = try stored { () throws(OCIError) in try Reference(parsing: text) }
        let record = try await blocking { () throws(BuildError) in
          try stored { () throws(OCIError) in
            try session.content.putManifest(
              manifest.bytes, mediaType: MediaType.manifest, in: exportRepository, requiring: .present)
          }
        }
        do {
          try await session.client.push(
            .digest(record.digest), in: exportRepository, of: session.content, to: reference,
            credentials: session.credentials(reference))
        } catch let error as DistributionError {
          throw BuildError(.network, "exporting the cache to \(reference): \(error.message)")
        } catch {
          throw asBuildError(error)
        }
      case .directory(let path):
        try await blocking { () throws(BuildError) in
          try write(manifest.bytes, blobs: [manifest.config.digest] + final.layers.map(\.digest), to: path, session)
        }
      }
      vertex.status("\(final.records.count) records, \(final.mounts.count) cache mounts")
    }
  }

  private static func write(
    _ manifest: [UInt8], blobs: [Digest], to path: String, _ session: BuildSession
  ) throws(BuildError) {
    let digest = Digest(of: manifest)
    try system { () throws(SystemError) in try Directory.create("\(path)/blobs/sha256") }
    for blob in blobs {
      let target = "\(path)/blobs/\(blob.algorithm.rawValue)/\(blob.hex)"
      if access(target, F_OK) == 0 { continue }
      let source = try stored { () throws(OCIError) in try session.content.soundPath(blob) }
      // No link: whoever writes into that folder later must not write into the store.
      try system { () throws(SystemError) in try copyFile(source, to: target) }
    }
    try system { () throws(SystemError) in
      try DurableFile.write(manifest, to: "\(path)/blobs/sha256/\(digest.hex)")
      try DurableFile.write(Array("{\"imageLayoutVersion\":\"1.0.0\"}".utf8), to: "\(path)/oci-layout")
      let index = Index(manifests: [
        Descriptor(
          mediaType: MediaType.manifest, digest: digest, size: Int64(manifest.count), artifactType: artifactType)
      ])
      try DurableFile.write(index.json.serialized(), to: "\(path)/index.json")
    }
  }

  private static func copyFile(_ source: String, to target: String) throws(SystemError) {
    let input = open(source, O_RDONLY | O_CLOEXEC)
    guard input >= 0 else { throw .last("open \(source)") }
    defer { close(input) }
    let temporary = "\(target).tmp"
    let output = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard output >= 0 else { throw .last("create \(temporary)") }
    defer { close(output) }
    while true {
      let count = sendfile(output, input, nil, 1 << 30)
      if count == 0 { break }
      guard count > 0 else { throw .last("write \(temporary)") }
    }
    guard fsync(output) == 0, rename(temporary, target) == 0 else { throw .last("rename \(temporary)") }
  }
}

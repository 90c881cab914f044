import Glibc
import Layers
import LinuxSystem
import OCI
import SQLite
import Wire

/// What the view of the images needs of the store.
extension ContentStore {
  /// Stores images that have been read from an archive, with their names, all or none.
  func store(_ images: [ImportedImage]) throws(OCIError) {
    for image in images {
      for blob in image.blobs {
        try sync(blob.path)
        // One that is here and damaged makes room for what has just been verified.
        _ = try isSound(blob.digest, size: blob.size)
      }
    }
    var parsed: [(manifest: ParsedManifest, image: ImportedImage, places: [(Repository, tag: String)])] = []
    for image in images {
      let label = "manifest \(image.manifest.digest)"
      // The manifest comes first.
      let bytes = try image.blobs[0].bytes(limit: limits.documentMax, label: label)
      let manifest = try ParsedManifest(
        bytes, mediaType: image.manifest.mediaType, digest: image.manifest.digest, limits: limits)
      var places: [(Repository, tag: String)] = []
      for name in image.names {
        let reference = try Reference(parsing: name)
        places.append((try repository(for: reference), reference.tag ?? "latest"))
      }
      parsed.append((manifest, image, places))
    }
    let found = parsed
    try writer.perform { (transaction: Transaction) throws(OCIError) in
      for (manifest, image, places) in found {
        for blob in image.blobs { _ = try transaction.place(blob.path, blob.digest, size: blob.size) }
        let id = try transaction.blobID(manifest.record.digest)
        for (repository, tag) in places {
          try transaction.put(manifest, id, tags: [tag], in: repository, .present) { _ in false }
        }
        let hasName = try transaction.catalog.exists("SELECT 1 FROM tag WHERE blob = ?1", .init(id))
        if !hasName {
          let tag = ContentStore.unnamedTag(manifest.record.digest)
          try transaction.put(manifest, id, tags: [tag], in: ContentStore.unnamed, .present) { _ in false }
        }
        if let index = image.indexDigest { try transaction.addMember(id, toIndex: index) }
      }
    }
  }

  private func sync(_ path: String) throws(OCIError) {
    let fd = Glibc.open(path, O_RDONLY | O_CLOEXEC)
    guard fd >= 0 else { throw OCIError(SystemError.last("open \(path)")) }
    defer { _ = Glibc.close(fd) }
    try sync(fd, path)
  }

  /// Takes a name away from a manifest, or all its names; and, when it has none any more, the manifest with everything
  /// that only it needed. Not by way of the trash: whoever removes an image wants the space.
  func removeImage(_ digest: Digest, only: (repository: Repository, tag: String)?) throws(OCIError) {
    let lock = try ContentStore.lockFile("\(root)/garbage.lock")
    defer { _ = Glibc.close(lock) }
    try writer.perform { (transaction: Transaction) throws(OCIError) in
      let catalog = transaction.catalog
      guard let blob = try catalog.blobID(digest) else { return }
      var names: [(repository: Int64, tag: String, blob: Int64)] = []
      if let only {
        if let id = try catalog.repositoryID(only.repository) { names = [(id, only.tag, blob)] }
      } else {
        // Also of the indexes that have it: otherwise they would keep it.
        names = try catalog.all(
          """
          SELECT repository, name, blob FROM tag
            WHERE blob = ?1 OR blob IN (SELECT source FROM edge WHERE target = ?1 AND kind = 2)
          """, .init(blob)
        ) { row in (row.integer(0), row.text(1), row.integer(2)) }
      }
      for name in names {
        try transaction.note(deletionOf: name.tag, in: name.repository)
        try transaction.removeTag(name.tag, in: name.repository)
      }
      var places = Set(names.map(\.repository))
      if only == nil {
        places.formUnion(
          try catalog.all("SELECT repository FROM manifest WHERE blob = ?1", .init(blob)) { row in row.integer(0) })
      }
      var freed: [Int64] = []
      for repository in places.sorted() {
        let roots = [blob] + names.filter { $0.repository == repository }.map(\.blob)
        freed += try transaction.dropUnneeded(roots, in: repository)
      }
      transaction.hasNewNames = true
      try transaction.deleteUnneeded(freed)
    }
  }

  /// Remembers from which blobs a layer has been unpacked; nothing is written when that is known.
  func noteUnpacked(_ layers: [Image.Layer]) throws(OCIError) {
    let known = try readers.read { (catalog: Catalog) throws(OCIError) in
      var known = true
      for layer in layers where known {
        known = try catalog.exists(
          "SELECT 1 FROM unpacked JOIN blob ON blob.id = unpacked.blob WHERE diff = ?1 AND blob.digest = ?2",
          .init(layer.diffID.hex), .init(layer.digest))
      }
      return known
    }
    guard !known else { return }
    try writer.perform { (transaction: Transaction) throws(OCIError) in
      for layer in layers {
        try transaction.catalog.run(
          "INSERT INTO unpacked (diff, blob) VALUES (?1, ?2) ON CONFLICT DO NOTHING", .init(layer.diffID.hex),
          .init(try transaction.blobID(layer.digest)))
      }
    }
  }
}

extension Transaction {
  /// Takes manifests, with what belongs to them, out of a repository, as far as nothing keeps them there; gives the
  /// blobs that may be free.
  fileprivate func dropUnneeded(_ roots: [Int64], in repository: Int64) throws(OCIError) -> [Int64] {
    var manifests = try catalog.manifests(of: repository)
    var positions: [Int64: Int] = [:]
    for (position, manifest) in manifests.enumerated() { positions[manifest.id] = position }
    // Only these: others may wait for their grace.
    var reached = Set<Int64>()
    var open = roots
    while let id = open.popLast() {
      guard let position = positions[id], reached.insert(id).inserted else { continue }
      open += manifests[position].children
      open += manifests.filter { $0.subject == id }.map(\.id)
    }
    for index in manifests.indices { manifests[index].touched = reached.contains(manifests[index].id) ? 0 : now }
    let garbage = GarbagePlan(now: now, untaggedGrace: 1, danglingGrace: 1).garbage(manifests)
    var freed = garbage
    for id in garbage {
      try catalog.run("DELETE FROM manifest WHERE repository = ?1 AND blob = ?2", .init(repository), .init(id))
      let members = try catalog.all("SELECT target FROM edge WHERE source = ?1", .init(id)) { row in row.integer(0) }
      for member in members {
        // In our own registry somebody may be about to refer to what was asked for a moment ago.
        try catalog.run(
          """
          DELETE FROM link WHERE repository = ?1 AND blob = ?2
            AND (touched < ?3 OR (SELECT host FROM repository WHERE id = ?1) <> '')
            AND NOT EXISTS (SELECT 1 FROM pin WHERE pin.blob = link.blob)
            AND NOT EXISTS (
              SELECT 1 FROM edge JOIN manifest ON manifest.repository = ?1 AND manifest.blob = edge.source
                WHERE edge.target = ?2)
          """, .init(repository), .init(member), .init(now - 300_000_000))
      }
      freed += members
    }
    return freed
  }

  /// Deletes the blobs that nobody needs. `garbage.lock` is held.
  fileprivate func deleteUnneeded(_ blobs: [Int64]) throws(OCIError) {
    var open = blobs
    var seen = Set<Int64>()
    var trashed: [Int64] = []
    while let id = open.popLast() {
      guard seen.insert(id).inserted else { continue }
      guard try trashBlob(id) > 0 else { continue }
      trashed.append(id)
      open += try catalog.all("SELECT target FROM edge WHERE source = ?1", .init(id)) { row in row.integer(0) }
    }
    _ = try deleteBlobs(trashed)
  }
}

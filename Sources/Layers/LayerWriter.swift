import Glibc
import LinuxSystem
import OCI

/// Writes a layer: a tar archive with whiteouts (OCI image specification, layer.md), compressed.
///
/// The order of the members is given by their paths, so that equal contents give equal bytes, whatever the order in which
/// the disk has them and however many threads compress. Memory use depends on the number of entries, not on their sizes.
public enum LayerWriter {
  /// Writes the layer and finishes it. Blocks.
  ///
  /// - Throws: `.changed` when a file is changed by somebody else meanwhile, `.unsafePath` and `.invalidArchive` for names
  ///   that cannot be in a layer, `.unsupported` for devices that are not allowed, `.limitExceeded`.
  public static func write(
    _ contents: LayerContents, to sink: any ByteSink, options: LayerOptions = LayerOptions()
  ) throws(OCIError) -> LayerSummary {
    try write(contents, to: sink, options: options, hashing: true)
  }

  /// - Parameter hashing: whether the sink does not compute the digest itself; without it, `diffID` is that of no bytes
  ///   when nothing is compressed.
  package static func write(
    _ contents: LayerContents, to sink: any ByteSink, options: LayerOptions, hashing: Bool
  ) throws(OCIError) -> LayerSummary {
    guard !options.isSeekable || options.compression == .gzip else {
      throw OCIError(.unsupported, "eStargz is gzip: give no other compression with it")
    }
    let stargz =
      options.isSeekable ? try StargzWriter(level: options.level, threads: options.threads, to: sink) : nil
    let encoder: any Encoder =
      if let stargz {
        stargz
      } else {
        try CompressionWriter(options.compression, level: options.level, threads: options.threads, to: sink)
      }
    let hashed = HashingSink(
      to: encoder, isHashing: hashing || options.compression != .none, sizeMax: options.uncompressedMax)
    let stream = try LayerStream(to: hashed, options: options, stargz: stargz)
    switch contents {
    case .entries(let entries, let lowers): try stream.write(entries, lowers: lowers)
    case .upper(let tree, let lowers, let excluding, let userAttributes):
      stream.trustsUserAttributes = userAttributes
      try stream.writeUpper(tree, lowers: lowers, excluding: excluding)
    }
    try stream.finish()
    try encoder.finish()
    return LayerSummary(
      diffID: hashed.digest, uncompressedSize: hashed.size, entries: stream.count, tocDigest: stargz?.tocDigest)
  }
}

/// What passes through is hashed, counted and limited.
private final class HashingSink: ByteSink {
  private let sink: any ByteSink
  private let isHashing: Bool
  private let sizeMax: Int64
  private var hasher = DigestHasher(.sha256)
  private(set) var size: Int64 = 0

  init(to sink: any ByteSink, isHashing: Bool, sizeMax: Int64) {
    self.sink = sink
    self.isHashing = isHashing
    self.sizeMax = sizeMax
  }

  func write(_ bytes: UnsafeRawBufferPointer) throws(OCIError) {
    size += Int64(bytes.count)
    guard size <= sizeMax else {
      throw OCIError(.limitExceeded, "the layer has more than \(sizeMax) bytes; split it or raise the limit")
    }
    if isHashing { hasher.update(bytes) }
    try sink.write(bytes)
  }

  var digest: Digest { hasher.finish() }
}

/// The members of a layer on their way into the archive.
private final class LayerStream {
  private let tar: TarWriter
  private let options: LayerOptions
  private let stargz: StargzWriter?
  private(set) var count = 0
  /// Folders that are written only when something in them is, outermost first.
  private var pending: [TarEntry] = []
  /// The first name of every file that has several.
  private var links: [FileIdentity: String] = [:]
  /// Whether an upper directory comes from an overlay that was mounted with `userxattr`.
  var trustsUserAttributes = false

  private struct FileIdentity: Hashable {
    var device: UInt64
    var inode: UInt64
  }

  /// - Parameter stargz: what `sink` leads to, when it is to note where each file is.
  init(to sink: any ByteSink, options: LayerOptions, stargz: StargzWriter?) throws(OCIError) {
    tar = TarWriter(to: sink)
    self.options = options
    self.stargz = stargz
    guard let stargz else { return }
    // Nobody has said which files are read first.
    let landmark = member(
      .file, Stargz.noPrefetchLandmark, mode: 0o644, owner: 0, group: 0, modified: FileTime(seconds: 0))
    var entry = landmark
    entry.size = Int64(Stargz.landmarkContent.count)
    try tar.append(entry)
    try tar.flush()
    try stargz.began(entry)
    try tar.write(Stargz.landmarkContent)
  }

  func finish() throws(OCIError) {
    if let stargz {
      try tar.flush()
      let toc = try stargz.tableOfContents()
      try tar.append(TarEntry(kind: .file, path: Stargz.tocName, mode: 0o644), content: toc)
    }
    try tar.finish()
  }

  /// What an eStargz layer has of its own comes anew, and not from a file system that one was unpacked to.
  private func isReserved(_ path: String) -> Bool { stargz != nil && Stargz.reservedNames.contains(path) }

  // MARK: Members

  /// Begins a member, after the folders that it is in.
  private func append(_ entry: TarEntry) throws(OCIError) {
    for folder in pending { try put(folder) }
    pending = []
    try put(entry)
  }

  private func put(_ entry: TarEntry) throws(OCIError) {
    count += 1
    guard count <= options.entriesMax else {
      throw OCIError(.limitExceeded, "the layer has more than \(options.entriesMax) entries")
    }
    try tar.append(entry)
    guard let stargz else { return }
    try tar.flush()
    try stargz.began(entry)
  }

  private func time(_ time: FileTime) -> FileTime {
    var time = time
    if let max = options.timeMax, time > FileTime(seconds: max) { time = FileTime(seconds: max) }
    if !options.keepsFractions { time.nanoseconds = 0 }
    return time
  }

  private func member(
    _ kind: TarEntry.Kind, _ path: String, mode: UInt32, owner: UInt32, group: UInt32, modified: FileTime,
    target: String = "", attributes: [FileAttribute] = []
  ) -> TarEntry {
    let modified = time(modified)
    return TarEntry(
      kind: kind, path: path.isEmpty ? "./" : path, target: target, mode: mode, owner: owner, group: group,
      modified: modified.seconds, modifiedNanoseconds: modified.nanoseconds, attributes: attributes)
  }

  /// The empty file that hides a name, or, with the name `.wh..opq`, a whole folder.
  private func appendWhiteout(_ name: String, in folder: String) throws(OCIError) {
    let path = folder.isEmpty ? ".wh.\(name)" : "\(folder)/.wh.\(name)"
    try append(member(.file, path, mode: 0o644, owner: 0, group: 0, modified: FileTime(seconds: 0)))
  }

  private static let opaqueName = ".wh..opq"

  /// Writes a file with the content that the descriptor has.
  private func append(_ entry: TarEntry, content file: borrowing SourceFile, expected: FileStatus?) throws(OCIError) {
    let status = file.status
    func changed(_ how: String) -> OCIError {
      OCIError(
        .changed, "\(file.label) \(how); nothing was stored, run it again when nobody writes there any more")
    }
    guard status.kind == .file else { throw changed("is no regular file any more") }
    if let expected, expected.size != status.size || expected.modified != status.modified {
      throw changed("has changed since it was looked at")
    }
    var entry = entry
    entry.size = status.size
    try append(entry)
    let descriptor = file.descriptor
    let missing = try tar.fill { (buffer: UnsafeMutableRawBufferPointer) throws(OCIError) in
      while true {
        let count = read(descriptor, buffer.baseAddress, buffer.count)
        if count >= 0 { return count }
        if errno != EINTR { throw OCIError(SystemError.last("read \(entry.path)")) }
      }
    }
    guard missing == 0 else {
      throw changed("became shorter while it was read (\(status.size - missing) of \(status.size) bytes are left)")
    }
    let now = try system { () throws(SystemError) in try file.currentStatus() }
    guard now.size == status.size, now.modified == status.modified else {
      throw changed("was changed while it was read")
    }
  }

  // MARK: From a list

  func write(_ entries: [LayerEntry], lowers: LowerTree?) throws(OCIError) {
    for (entry, path) in try ordered(entries, lowers: lowers) { try write(entry, at: path) }
  }

  /// The entries with their parents, each path once, in the order of the archive: a folder before what is in it, what
  /// hides before what is added, and hard links last, when every file is there.
  private func ordered(
    _ entries: [LayerEntry], lowers: LowerTree?
  ) throws(OCIError) -> [(entry: LayerEntry, path: String)] {
    struct Item {
      var key: [UInt8]
      var position: Int
      var entry: LayerEntry
      var path: String
    }
    var items: [Item] = []
    items.reserveCapacity(entries.count)
    var parents = Set<String>()
    for entry in entries {
      let path = try LayerStream.checked(entry.path)
      items.append(Item(key: LayerStream.key(path, entry.content), position: items.count, entry: entry, path: path))
      var parent = Substring(path)
      if case .opaque = entry.content, !path.isEmpty { parents.insert(path) }
      while let slash = parent.utf8.lastIndex(of: UInt8(ascii: "/")) {
        parent = parent[..<slash]
        guard parents.insert(String(parent)).inserted else { break }
      }
    }
    for parent in parents {
      let status = try lowers?.status(parent)
      if let status, status.kind != .directory {
        // Somebody who really puts a folder in its place says so by an entry of its own.
        guard items.contains(where: { $0.path == parent }) else {
          throw OCIError(
            .unsafePath, "\"\(parent)\" is no folder in the image below: resolve the path there before writing to it")
        }
        continue
      }
      var attributes: [FileAttribute] = []
      if let location = try lowers?.location(parent) {
        attributes = try system { () throws(SystemError) in
          try OverlayAttributes(of: try location.tree.open(parent)).kept
        }
      }
      let entry = LayerEntry(
        path: parent, content: .directory, owner: status?.owner ?? 0, group: status?.group ?? 0,
        mode: status?.mode ?? 0o755, modified: status?.modified ?? FileTime(seconds: options.timeMax ?? 0),
        attributes: attributes)
      // Before all others: an entry of the list wins.
      items.append(Item(key: LayerStream.key(parent, .directory), position: -1, entry: entry, path: parent))
    }
    items.sort { a, b in
      a.key == b.key ? a.position < b.position : a.key.lexicographicallyPrecedes(b.key)
    }
    var result: [(entry: LayerEntry, path: String)] = []
    result.reserveCapacity(items.count)
    var links: [(entry: LayerEntry, path: String)] = []
    for (index, item) in items.enumerated() where index + 1 == items.count || items[index + 1].key != item.key {
      if case .hardLink = item.entry.content {
        links.append((item.entry, item.path))
      } else {
        result.append((item.entry, item.path))
      }
    }
    guard !links.isEmpty else { return result }
    let files = Set(result.map(\.path))
    for link in links {
      guard case .hardLink(let target) = link.entry.content else { continue }
      guard files.contains(try LayerStream.checked(target)) else {
        throw OCIError(
          .invalidArchive, "\"\(link.path)\" links to \"\(target)\", which is no file of the layer")
      }
    }
    return result + links
  }

  /// The bytes by which members are sorted: a slash is less than everything else, so that what is in a folder comes
  /// directly behind it, and 1 stands before the name of a whiteout.
  private static func key(_ path: String, _ content: LayerEntry.Content) -> [UInt8] {
    var bytes = path.utf8.map { $0 == UInt8(ascii: "/") ? 0 : $0 }
    switch content {
    case .whiteout:
      let start = bytes.lastIndex(of: 0).map { $0 + 1 } ?? 0
      bytes.insert(1, at: start)
    case .opaque:
      if !bytes.isEmpty { bytes.append(0) }
      bytes.append(1)
    default: break
    }
    return bytes
  }

  /// A path that every reader understands alike.
  private static func checked(_ path: String) throws(OCIError) -> String {
    let clean = try LayerExtractor.clean(path, label: "layer")
    guard !clean.utf8.contains(0), clean.utf8.count < 4000 else {
      throw OCIError(.invalidArchive, "\"\(clean.prefix(80))\" is no path: it is too long or has a zero byte")
    }
    for part in clean.utf8.split(separator: UInt8(ascii: "/")) { try check(name: Substring(part), in: clean) }
    return clean
  }

  private static func check(name: some StringProtocol, in path: String) throws(OCIError) {
    guard !name.utf8.starts(with: ".wh.".utf8) else {
      throw OCIError(
        .invalidArchive, "\"\(path)\": names that begin with .wh. mean deletions in an image's layers; rename the file")
    }
  }

  private func write(_ entry: LayerEntry, at path: String) throws(OCIError) {
    func member(_ kind: TarEntry.Kind, mode: UInt32, target: String = "") -> TarEntry {
      self.member(
        kind, path, mode: entry.mode ?? mode, owner: entry.owner, group: entry.group,
        modified: entry.modified ?? FileTime(seconds: 0), target: target, attributes: entry.attributes ?? [])
    }
    func device(_ kind: TarEntry.Kind, _ major: UInt32, _ minor: UInt32) throws(OCIError) {
      try checkDevice(path)
      var member = member(kind, mode: 0o644)
      member.deviceMajor = major
      member.deviceMinor = minor
      try append(member)
    }
    if isReserved(path) { return }
    if path.isEmpty {
      switch entry.content {
      case .directory, .opaque: break
      default: throw OCIError(.invalidArchive, "the root of a layer can only be a folder")
      }
    }
    switch entry.content {
    case .directory: try append(member(.directory, mode: 0o755))
    case .bytes(let bytes):
      var member = member(.file, mode: 0o644)
      member.size = Int64(bytes.count)
      try append(member)
      try tar.write(bytes)
    case .file(let tree, let source, let expected):
      let file = try open(tree, source)
      let status = file.status
      let attributes: [FileAttribute]
      if let given = entry.attributes {
        attributes = given
      } else {
        attributes = try system { () throws(SystemError) in try file.attributes(where: OverlayAttributes.isKept) }
      }
      let member = self.member(
        .file, path, mode: entry.mode ?? status.mode, owner: entry.owner, group: entry.group,
        modified: entry.modified ?? status.modified, attributes: attributes)
      try append(member, content: file, expected: expected)
    case .symbolicLink(let target): try append(member(.symbolicLink, mode: 0o777, target: target))
    case .hardLink(let target):
      let target = try LayerStream.checked(target)
      try append(member(.hardLink, mode: 0o644, target: target))
    case .pipe: try append(member(.pipe, mode: 0o644))
    case .characterDevice(let major, let minor): try device(.characterDevice, major, minor)
    case .blockDevice(let major, let minor): try device(.blockDevice, major, minor)
    case .whiteout:
      let (folder, name) = LayerStream.split(path)
      try appendWhiteout(name, in: folder)
    case .opaque: try appendWhiteout(LayerStream.opaqueName, in: path)
    }
  }

  private func open(_ tree: SourceTree, _ path: String) throws(OCIError) -> SourceFile {
    do {
      return try tree.open(path)
    } catch {
      switch error.errno {
      case ENOENT, ELOOP, ENOTDIR, ENXIO:
        throw OCIError(
          .changed,
          "\(tree.label)/\(path) has gone or is no regular file any more; nothing was stored, run it again "
            + "when nobody writes there any more")
      default: throw OCIError(error)
      }
    }
  }

  private func checkDevice(_ path: String) throws(OCIError) {
    guard options.allowsDevices else {
      throw OCIError(.unsupported, "\"\(path)\" is a device, which an image must not have; remove it")
    }
  }

  private static func split(_ path: String) -> (folder: String, name: String) {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return ("", path) }
    return (String(path[..<slash]), String(path[path.utf8.index(after: slash)...]))
  }

  // MARK: From an overlay's upper directory

  func writeUpper(_ tree: SourceTree, lowers: LowerTree?, excluding: Set<String>) throws(OCIError) {
    _ = try walk(try open(tree, ""), "", lowers: lowers, excluding: excluding, depth: 0)
  }

  /// Writes what is in a folder.
  /// - Returns: whether something in it was left out.
  private func walk(
    _ folder: borrowing SourceFile, _ path: String, lowers: LowerTree?, excluding: Set<String>, depth: Int
  ) throws(OCIError) -> Bool {
    // PATH_MAX bounds it already for what programs can make in the usual way.
    guard depth < 1024 else { throw OCIError(.limitExceeded, "\"\(path.prefix(80))…\": folders are nested too deep") }
    var hasExcluded = false
    var added: [(name: String, status: FileStatus)] = []
    for name in try system({ () throws(SystemError) in try folder.names() }) {
      let child = path.isEmpty ? name : "\(path)/\(name)"
      if isReserved(child) { continue }
      guard !excluding.contains(child) else {
        hasExcluded = true
        continue
      }
      try LayerStream.check(name: name, in: child)
      let status = try system { () throws(SystemError) in try folder.status(of: name) }
      if status.isWhiteout {
        // First what hides, then what is added (layer.md, "Whiteouts").
        try appendWhiteout(name, in: path)
      } else {
        added.append((name, status))
      }
    }
    for (name, status) in added {
      let child = path.isEmpty ? name : "\(path)/\(name)"
      switch status.kind {
      case .directory:
        let file = try openChild(folder, name)
        try writeFolder(file, child, lowers: lowers, excluding: excluding, depth: depth)
      case .file where status.links == 1 || links[identity(status)] == nil:
        try writeFile(try openChild(folder, name), child, lowers: lowers)
      // Nobody can connect to a socket of an image.
      case .socket: break
      default:
        var member = member(
          .pipe, child, mode: status.mode, owner: status.owner, group: status.group, modified: status.modified)
        if let first = links[identity(status)] {
          member.kind = .hardLink
          member.target = first
        } else if status.kind == .symbolicLink {
          member.kind = .symbolicLink
          member.target = try system { () throws(SystemError) in try folder.target(of: name) }
        } else if status.kind != .pipe {
          try checkDevice(child)
          member.kind = status.kind == .blockDevice ? .blockDevice : .characterDevice
          member.deviceMajor = status.deviceMajor
          member.deviceMinor = status.deviceMinor
        }
        try append(member)
        note(status, child)
      }
    }
    return hasExcluded
  }

  private func identity(_ status: FileStatus) -> FileIdentity {
    FileIdentity(device: status.device, inode: status.inode)
  }

  /// Remembers the first name of a file that has several.
  private func note(_ status: FileStatus, _ path: String) {
    if status.links > 1, links[identity(status)] == nil { links[identity(status)] = path }
  }

  private func openChild(_ folder: borrowing SourceFile, _ name: String) throws(OCIError) -> SourceFile {
    do {
      return try folder.open(name)
    } catch {
      throw OCIError(error)
    }
  }

  private func writeFolder(
    _ folder: borrowing SourceFile, _ path: String, lowers: LowerTree?, excluding: Set<String>, depth: Int
  ) throws(OCIError) {
    let overlay = try system { () throws(SystemError) in
      try OverlayAttributes(of: folder, trustsUser: trustsUserAttributes)
    }
    guard overlay.redirect == nil else {
      throw OCIError(
        .unsupported,
        "\"\(path)\" was renamed by overlayfs itself, which leaves its content in the layers below; "
          + "mount the overlay with redirect_dir=off")
    }
    let status = folder.status
    let entry = member(
      .directory, path, mode: status.mode, owner: status.owner, group: status.group, modified: status.modified,
      attributes: overlay.kept)
    let depthBefore = pending.count
    pending.append(entry)
    if overlay.isOpaque { try appendWhiteout(LayerStream.opaqueName, in: path) }
    let hasExcluded = try walk(folder, path, lowers: lowers, excluding: excluding, depth: depth + 1)
    // Nothing in it was written. It is written for its own sake, unless the layers below have it just so.
    guard pending.count > depthBefore else { return }
    if let lowers, let below = try lowers.location(path), below.status.kind == .directory {
      let attributes = try system { () throws(SystemError) in
        try OverlayAttributes(of: try below.tree.open(path)).kept
      }
      let isSame =
        below.status.mode == status.mode && below.status.owner == status.owner && below.status.group == status.group
        && attributes == overlay.kept
        && (hasExcluded || time(below.status.modified) == time(status.modified))
      if isSame {
        pending.removeLast()
        return
      }
    }
    let own = pending.removeLast()
    try append(own)
  }

  private func writeFile(_ file: borrowing SourceFile, _ path: String, lowers: LowerTree?) throws(OCIError) {
    let status = file.status
    let overlay = try system { () throws(SystemError) in
      try OverlayAttributes(of: file, trustsUser: trustsUserAttributes)
    }
    if overlay.isWhiteout, status.size == 0 {
      let (folder, name) = LayerStream.split(path)
      return try appendWhiteout(name, in: folder)
    }
    let entry = member(
      .file, path, mode: status.mode, owner: status.owner, group: status.group, modified: status.modified,
      attributes: overlay.kept)
    note(status, path)
    guard overlay.isMetadataOnly else { return try append(entry, content: file, expected: nil) }
    // Only owner, mode or times were changed in this layer: the data is where the redirect says, or at the same path.
    var origin = path
    if let redirect = overlay.redirect {
      let folder = LayerStream.split(path).folder
      origin =
        redirect.hasPrefix("/") ? String(redirect.dropFirst()) : folder.isEmpty ? redirect : "\(folder)/\(redirect)"
    }
    guard let below = try lowers?.location(origin), below.status.kind == .file, below.status.size == status.size else {
      throw OCIError(
        .unsupported,
        "\"\(path)\" has its data in the layers below, where it is not found; mount the overlay with metacopy=off")
    }
    try append(entry, content: try open(below.tree, origin), expected: nil)
  }
}

extension TarWriter {
  /// Content of the current member.
  func write(_ bytes: [UInt8]) throws(OCIError) {
    let failure: OCIError? = bytes.withUnsafeBytes { buffer in
      do throws(OCIError) {
        try write(buffer)
        return nil
      } catch {
        return error
      }
    }
    if let failure { throw failure }
  }
}

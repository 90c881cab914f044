import Glibc
import LinuxSystem

/// Writes a layer's tar stream into a folder, in the form in which overlayfs wants a lower layer.
///
/// Whiteouts (OCI image layer specification, "Whiteouts") become overlayfs': `.wh.NAME` a character device 0:0 of that
/// name, `.wh..wh..opq` the attribute `trusted.overlay.opaque`. Nothing outside the folder is touched, whatever names
/// and links the archive has. Owners, modes with set-user-id, times and `user.*`, `security.capability` and POSIX ACL
/// attributes are kept. Needs root.
struct LayerExtractor {
  private let tree: DirectoryTree
  private let label: String
  /// A folder's time is set at the end, because what is put into it changes it.
  private var folderTimes: [(path: String, seconds: Int64, nanoseconds: Int)] = []

  init(root: String, label: String) throws(OCIError) {
    tree = try system { () throws(SystemError) in try DirectoryTree(root) }
    self.label = label
  }

  mutating func extract(_ source: any ByteSource, limits: ImageLimits) throws(OCIError) {
    var reader = TarReader(source, label: label, entriesMax: limits.entriesMax)
    while let entry = try reader.next() {
      try extract(entry, &reader)
    }
    for time in folderTimes.reversed() {
      // A later member may have put something else in the folder's place.
      guard try type(of: time.path) == .directory else { continue }
      try perform(time.path) { () throws(SystemError) in
        try tree.setModificationTime(time.path, seconds: time.seconds, nanoseconds: time.nanoseconds)
      }
    }
  }

  private mutating func extract(_ entry: TarEntry, _ reader: inout TarReader) throws(OCIError) {
    let path = try LayerExtractor.clean(entry.path, label: label)
    let name = path.utf8.lastIndex(of: UInt8(ascii: "/")).map { String(path[path.index(after: $0)...]) } ?? path
    if name.utf8.starts(with: ".wh.".utf8) { return try whiteout(path, name) }
    if path.isEmpty {
      // The root folder itself: its owner and mode only.
      guard entry.kind == .directory else {
        throw OCIError(.invalidArchive, "\(label): \"\(entry.path)\" is the root folder, but no folder in the archive")
      }
    } else {
      try makeRoom(path, for: entry)
    }
    switch entry.kind {
    case .directory:
      try perform(path) { () throws(SystemError) in try tree.createDirectory(path) }
      folderTimes.append((path, entry.modified, entry.modifiedNanoseconds))
    case .file: try writeFile(path, entry, &reader)
    case .symbolicLink:
      guard !entry.target.isEmpty else {
        throw OCIError(.invalidArchive, "\(label): the symbolic link \"\(entry.path)\" has no target")
      }
      // Where it points to does not matter: the container's root is its root, and we never follow it.
      try perform(path) { () throws(SystemError) in try tree.createSymbolicLink(path, target: entry.target) }
    case .hardLink:
      let target = try LayerExtractor.clean(entry.target, label: label)
      do {
        try tree.createHardLink(path, target: target)
      } catch {
        if error.errno == ENOENT {
          throw OCIError(
            .invalidArchive,
            "\(label): the hard link \"\(entry.path)\" points to \"\(entry.target)\", which is not in the layer")
        }
        throw failure(error, path)
      }
      // It is the same file: attributes came with the first name.
      return
    case .pipe: try node(path, S_IFIFO, entry)
    case .characterDevice: try node(path, S_IFCHR, entry)
    case .blockDevice: try node(path, S_IFBLK, entry)
    }
    let isFolder = entry.kind == .directory
    try perform(path) { () throws(SystemError) in
      try tree.setAttributes(
        path, owner: entry.owner, group: entry.group, mode: entry.kind == .symbolicLink ? nil : entry.mode,
        modified: isFolder ? nil : (entry.modified, entry.modifiedNanoseconds))
    }
    // After chown, which clears security.capability.
    for attribute in entry.attributes where LayerExtractor.isKept(attribute.name) && entry.kind != .symbolicLink {
      try perform(path) { () throws(SystemError) in
        try tree.setExtendedAttribute(path, name: attribute.name, value: attribute.value)
      }
    }
  }

  /// Attributes of the overlay itself (`trusted.overlay.*`) and of the host's security modules must not come from outside.
  static func isKept(_ name: String) -> Bool {
    name.hasPrefix("user.") || name == "security.capability" || name.hasPrefix("system.posix_acl_")
  }

  /// Removes what an earlier member of the same layer put there.
  private func makeRoom(_ path: String, for entry: TarEntry) throws(OCIError) {
    switch (try type(of: path), entry.kind) {
    case (nil, _), (.directory, .directory): break
    case (.whiteout, .directory):
      try perform(path) { () throws(SystemError) in try tree.remove(path) }
      try perform(path) { () throws(SystemError) in try tree.createDirectory(path) }
      try setOpaque(path)
    default: try perform(path) { () throws(SystemError) in try tree.remove(path) }
    }
  }

  private func whiteout(_ path: String, _ name: String) throws(OCIError) {
    let folder = path == name ? "" : String(path.dropLast(name.count + 1))
    if name == ".wh..wh..opq" {
      if !folder.isEmpty { try perform(folder) { () throws(SystemError) in try tree.createDirectories(folder) } }
      return try setOpaque(folder)
    }
    // Other names that start like this are aufs' own bookkeeping.
    if name.utf8.starts(with: ".wh..wh.".utf8) { return }
    let hidden = String(decoding: name.utf8.dropFirst(4), as: UTF8.self)
    guard !hidden.isEmpty, hidden != ".", hidden != ".." else {
      throw OCIError(.invalidArchive, "\(label): the whiteout \"\(path)\" hides no file")
    }
    let target = folder.isEmpty ? hidden : folder + "/" + hidden
    switch try type(of: target) {
    case nil: try perform(target) { () throws(SystemError) in try tree.createNode(target, mode: S_IFCHR) }
    // A whiteout hides what lower layers have; what this layer has, stays.
    case .directory: try setOpaque(target)
    default: break
    }
  }

  private func setOpaque(_ path: String) throws(OCIError) {
    try perform(path) { () throws(SystemError) in
      try tree.setExtendedAttribute(path, name: "trusted.overlay.opaque", value: [UInt8(ascii: "y")])
    }
  }

  private func node(_ path: String, _ type: UInt32, _ entry: TarEntry) throws(OCIError) {
    try perform(path) { () throws(SystemError) in
      try tree.createNode(path, mode: type | entry.mode, major: entry.deviceMajor, minor: entry.deviceMinor)
    }
  }

  private func writeFile(_ path: String, _ entry: TarEntry, _ reader: inout TarReader) throws(OCIError) {
    let fd = try perform(path) { () throws(SystemError) in try tree.createFile(path) }
    defer { _ = close(fd) }
    try reader.forEachPiece { (piece: UnsafeRawBufferPointer) throws(OCIError) in
      let code = DurableFile.writeAll(fd, piece)
      guard code == 0 else { throw failure(SystemError("write", errno: code), path) }
    }
  }

  private func type(of path: String) throws(OCIError) -> DirectoryTree.EntryType? {
    try perform(path) { () throws(SystemError) in try tree.type(of: path) }
  }

  /// Makes everything durable.
  func sync() throws(OCIError) {
    try system { () throws(SystemError) in try tree.sync() }
  }

  private func failure(_ error: SystemError, _ path: String) -> OCIError {
    var error = OCIError(error)
    error.message = "\(label): \"\(path)\": \(error.message)"
    return error
  }

  @discardableResult
  private func perform<T>(_ path: String, _ body: () throws(SystemError) -> T) throws(OCIError) -> T {
    do {
      return try body()
    } catch {
      guard error.errno != EXDEV, error.errno != ELOOP else {
        throw OCIError(
          .unsafePath,
          "\(label): \"\(path)\" leads out of the root file system through a symbolic link; the image is refused")
      }
      throw failure(error, path)
    }
  }

  /// A relative path without `.` parts; absolute paths and `..` are refused.
  static func clean(_ path: String, label: String) throws(OCIError) -> String {
    if path.utf8.first == UInt8(ascii: "/") {
      throw OCIError(
        .unsafePath, "\(label): the absolute path \"\(path)\" is refused; pack the archive with relative paths")
    }
    // By bytes, as the kernel does: to Swift a slash before a combining mark is another character.
    var parts: [Substring] = []
    for part in path.utf8.split(separator: UInt8(ascii: "/")).map(Substring.init) where part != "." {
      if part == ".." {
        throw OCIError(.unsafePath, "\(label): \"\(path)\" climbs with \"..\"; the image is refused")
      }
      guard part.utf8.count <= 255 else {
        throw OCIError(.invalidArchive, "\(label): a part of \"\(path.prefix(80))…\" is longer than 255 bytes")
      }
      parts.append(part)
    }
    return parts.joined(separator: "/")
  }
}

import Glibc
import LinuxSystem
import OCI

/// Writes a layer's tar stream into a folder, in the form in which overlayfs wants a lower layer.
///
/// Whiteouts (OCI image layer specification, "Whiteouts") become overlayfs': `.wh.NAME` a character device 0:0 of that
/// name, `.wh..wh..opq` the attribute `trusted.overlay.opaque`. Nothing outside the folder is touched, whatever names
/// and links the archive has. Owners, modes with set-user-id, times and `user.*`, `security.capability` and POSIX ACL
/// attributes are kept. Needs root.
package struct LayerExtractor {
  /// How names are understood that would lead out of the folder.
  package enum Names {
    /// As of an image's layer: absolute ones, those with `..`, and those behind a link out of it are refused.
    case strict
    /// As of an archive that `ADD` unpacks: the folder is the root of all of them, also of the links that they pass. Only
    /// what climbs above it is refused.
    case contained
  }

  private let tree: DirectoryTree
  private let label: String
  private let names: Names
  /// The folder as links are followed in it: by the kernel where all is there, and else step by step.
  private let view: (there: SourceTree, wanted: LowerTree)?
  /// The last folder in which links were followed, and where it is.
  private var lastFolder: (written: String, real: String)?
  /// Folders that are members; others are only on the way to one.
  private(set) var folders: Set<String> = []
  /// A folder's time is set at the end, because what is put into it changes it.
  private var folderTimes: [(path: String, seconds: Int64, nanoseconds: Int)] = []

  /// - Parameters:
  ///   - root: the folder, which is there.
  ///   - label: the layer, for errors.
  package init(root: String, label: String, names: Names = .strict) throws(OCIError) {
    tree = try system { () throws(SystemError) in try DirectoryTree(root) }
    self.label = label
    self.names = names
    if names == .contained {
      view = (there: try system { () throws(SystemError) in try SourceTree(root) }, wanted: try LowerTree([root]))
    } else {
      view = nil
    }
  }

  /// Writes all members. Blocks.
  package mutating func extract(_ source: any ByteSource, limits: ImageLimits) throws(OCIError) {
    var reader = TarReader(
      source, label: label, entriesMax: limits.entriesMax, allowsUnnamed: names == .contained)
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
    let path = try place(entry.path)
    // The folder itself stays as it is.
    if names == .contained, path.isEmpty { return }
    let name = path.utf8.lastIndex(of: UInt8(ascii: "/")).map { String(path[path.utf8.index(after: $0)...]) } ?? path
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
      if names == .contained { folders.insert(path) }
    case .file: try writeFile(path, entry, &reader)
    case .symbolicLink:
      guard !entry.target.isEmpty else {
        throw OCIError(.invalidArchive, "\(label): the symbolic link \"\(entry.path)\" has no target")
      }
      // Where it points to does not matter: the container's root is its root, and we never follow it.
      try perform(path) { () throws(SystemError) in try tree.createSymbolicLink(path, target: entry.target) }
    case .hardLink:
      let target = try place(entry.target)
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

  /// Where a member goes, relative to the folder and without `.` and `..`.
  private mutating func place(_ written: String) throws(OCIError) -> String {
    guard let view else { return try LayerExtractor.clean(written, label: label) }
    let path = try LayerExtractor.contain(written, label: label)
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return path }
    let (folder, name) = (String(path[..<slash]), path[path.utf8.index(after: slash)...])
    if let lastFolder, lastFolder.written == folder { return join(lastFolder.real, name) }
    let there = try perform(folder) { () throws(SystemError) in try view.there.resolve(folder) }
    let real = if let there { there } else { try view.wanted.resolve(folder) }
    lastFolder = (folder, real)
    return join(real, name)
  }

  private func join(_ folder: String, _ name: Substring) -> String {
    folder.isEmpty ? String(name) : "\(folder)/\(name)"
  }

  /// Attributes of the overlay itself (`trusted.overlay.*`) and of the host's security modules must not come from outside.
  static func isKept(_ name: String) -> Bool {
    name.hasPrefix("user.") || name == "security.capability" || name.hasPrefix("system.posix_acl_")
  }

  /// Removes what an earlier member of the same layer put there.
  private mutating func makeRoom(_ path: String, for entry: TarEntry) throws(OCIError) {
    // A link may come or go: folders have to be looked for again.
    if entry.kind != .file, entry.kind != .directory { lastFolder = nil }
    switch (try type(of: path), entry.kind) {
    case (nil, _), (.directory, .directory): break
    case (.whiteout, .directory):
      try perform(path) { () throws(SystemError) in try tree.remove(path) }
      try perform(path) { () throws(SystemError) in try tree.createDirectory(path) }
      try setOpaque(path)
    default:
      lastFolder = nil
      try perform(path) { () throws(SystemError) in try tree.remove(path) }
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
  package func sync() throws(OCIError) {
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

  /// A path below a root: without `.`, `..` and a leading slash. One that climbs above the root is refused.
  static func contain(_ path: String, label: String) throws(OCIError) -> String {
    let isAbsolute = path.utf8.first == UInt8(ascii: "/")
    var parts: [Substring] = []
    // By bytes, as the kernel does.
    for part in path.utf8.split(separator: UInt8(ascii: "/")).map(Substring.init) where part != "." {
      guard part == ".." else {
        parts.append(part)
        continue
      }
      guard parts.popLast() != nil || isAbsolute else {
        throw OCIError(.unsafePath, "\(label): \"\(path)\" climbs out of the archive with \"..\"; it is refused")
      }
    }
    return try clean(parts.joined(separator: "/"), label: label)
  }

  /// A relative path without `.` parts; absolute paths and `..` are refused.
  package static func clean(_ path: String, label: String) throws(OCIError) -> String {
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

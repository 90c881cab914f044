import Glibc
import LinuxSystem
import OCI

/// Unpacked layers as overlayfs would show them on top of one another, without mounting them.
///
/// Paths are relative to the root. The layers must not change. Thread safe.
public final class LowerTree: Sendable {
  private let layers: [SourceTree]

  /// - Parameter folders: top first, as `ImageStore.unpack` gives them.
  public init(_ folders: [String]) throws(OCIError) {
    var layers: [SourceTree] = []
    for folder in folders { layers.append(try system { () throws(SystemError) in try SourceTree(folder) }) }
    self.layers = layers
  }

  /// Where something is: the layer and what is there.
  public struct Location: Sendable {
    public var tree: SourceTree
    public var status: FileStatus
  }

  /// What is at `path`, without following symbolic links; `nil` when nothing is, and when a part of the path is none of a
  /// folder.
  public func status(_ path: String) throws(OCIError) -> FileStatus? { try location(path)?.status }

  /// The layer whose file or folder is seen at `path`, for `LayerEntry.Content.file`.
  public func location(_ path: String) throws(OCIError) -> Location? {
    try system { () throws(SystemError) in try find(path)?.location }
  }

  /// A whole small file, with symbolic links followed; `nil` when there is none, or a link that leads to nothing.
  ///
  /// - Throws: `invalidArchive` when something else than a file is there, `limitExceeded` when it has more bytes.
  public func document(_ path: String, limit: Int) throws(OCIError) -> [UInt8]? {
    let resolved = try resolve(path)
    guard let location = try location(resolved) else { return nil }
    guard location.status.kind == .file else {
      throw OCIError(.invalidArchive, "/\(path) of the image is no regular file")
    }
    guard location.status.size <= Int64(limit) else {
      throw OCIError(
        .limitExceeded, "/\(path) of the image has \(location.status.size) bytes; it may have \(limit)")
    }
    return try system { () throws(SystemError) in try location.tree.open(resolved).contents(limit: limit) }
  }

  /// The users of the image that the layers make.
  ///
  /// - Throws: when `/etc/passwd` or `/etc/group` is there, but cannot be read or is too large: as if it were empty, a user
  ///   of the image would get root's group.
  public func userDatabase() throws(OCIError) -> UserDatabase {
    UserDatabase(
      passwd: try document(UserDatabase.passwdPath, limit: UserDatabase.sizeMax) ?? [],
      group: try document(UserDatabase.groupPath, limit: UserDatabase.sizeMax) ?? [])
  }

  /// The names in a folder, sorted by their bytes; empty when there is no folder.
  public func names(_ path: String) throws(OCIError) -> [String] {
    try system { () throws(SystemError) in
      guard let found = try find(path) else { return [] }
      var seen = Set<String>()
      var names: [String] = []
      for layer in found.folders {
        let folder = try layer.open(path)
        for name in try folder.names() where seen.insert(name).inserted {
          if try !folder.status(of: name).isWhiteout { names.append(name) }
        }
      }
      return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }
  }

  /// The path with every symbolic link in it followed, also one at the end; the root is never left. Parts that do not
  /// exist stay as they are.
  public func resolve(_ path: String) throws(OCIError) -> String {
    var left: [String] = LowerTree.parts(path).reversed()
    var done: [String] = []
    var links = 0
    while let part = left.popLast() {
      if part == "." { continue }
      if part == ".." {
        _ = done.popLast()
        continue
      }
      let next = (done + [part]).joined(separator: "/")
      guard let location = try location(next), location.status.kind == .symbolicLink else {
        done.append(part)
        continue
      }
      links += 1
      guard links <= 40 else { throw OCIError(.unsafePath, "\"\(path)\" has too many symbolic links in the image") }
      let target = try system { () throws(SystemError) in try location.tree.target(next) }
      if target.utf8.first == UInt8(ascii: "/") { done = [] }
      left += LowerTree.parts(target).reversed()
    }
    return done.joined(separator: "/")
  }

  /// By bytes, as the kernel does: to Swift a slash before a combining mark is another character.
  private static func parts(_ path: String) -> [String] {
    path.utf8.split(separator: UInt8(ascii: "/")).map { String(Substring($0)) }
  }

  private func find(_ path: String) throws(SystemError) -> (location: Location, folders: [SourceTree])? {
    guard let top = layers.first, let root = try top.status("") else { return nil }
    var found = Location(tree: top, status: root)
    var folders = layers
    var prefix = ""
    for part in LowerTree.parts(path) {
      prefix += prefix.isEmpty ? part : "/\(part)"
      var first: Location?
      var next: [SourceTree] = []
      // Folders of several layers are one; a whiteout, an opaque folder, or anything else that is no folder hides what is
      // further down.
      for layer in folders {
        guard let status = try layer.status(prefix) else { continue }
        if status.isWhiteout { break }
        let isFolder = status.kind == .directory
        if first == nil { first = Location(tree: layer, status: status) } else if !isFolder { break }
        guard isFolder else { break }
        next.append(layer)
        if try OverlayAttributes(of: try layer.open(prefix)).isOpaque { break }
      }
      guard let first else { return nil }
      found = first
      folders = next
    }
    return (found, folders)
  }
}

/// What overlayfs notes in a file's attributes (Linux, Documentation/filesystems/overlayfs.rst), as root
/// (`trusted.overlay.`) or, only when asked for, without rights (`user.overlay.`, `userxattr`).
struct OverlayAttributes {
  private var values: [String: [UInt8]] = [:]
  /// The attributes that belong into an image.
  private(set) var kept: [FileAttribute] = []

  /// - Parameter trustsUser: whether `user.overlay.` counts; every program can set that.
  init(of file: borrowing SourceFile, trustsUser: Bool = false) throws(SystemError) {
    let prefixes = trustsUser ? ["trusted.overlay.", "user.overlay."] : ["trusted.overlay."]
    let all = try file.attributes { OverlayAttributes.key($0, prefixes) != nil || OverlayAttributes.isKept($0) }
    for attribute in all {
      if let key = OverlayAttributes.key(attribute.name, prefixes) {
        values[key] = attribute.value
      } else {
        kept.append(attribute)
      }
    }
  }

  private static func key(_ name: String, _ prefixes: [String]) -> String? {
    for prefix in prefixes where name.hasPrefix(prefix) {
      return String(name.dropFirst(prefix.count))
    }
    return nil
  }

  /// Attributes of the overlay itself and of the host's security modules say nothing about the file elsewhere.
  static func isKept(_ name: String) -> Bool {
    name == "security.capability" || name.hasPrefix("system.posix_acl_")
      || (name.hasPrefix("user.") && !name.hasPrefix("user.overlay."))
  }

  /// Nothing of the folders below is seen.
  var isOpaque: Bool { values["opaque"] == [UInt8(ascii: "y")] }
  /// An empty file that stands for a whiteout, where a character device cannot be made.
  var isWhiteout: Bool { values["whiteout"] != nil }
  /// The file has its own owner, mode and times, but its data is in a layer below.
  var isMetadataOnly: Bool { values["metacopy"] != nil }
  /// Where the folder or the data is in the layers below: a name in the same folder, or a path that begins with a slash.
  var redirect: String? { values["redirect"].map { String(decoding: $0, as: UTF8.self) } }
}

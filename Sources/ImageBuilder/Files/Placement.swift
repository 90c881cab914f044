import Dockerfile
import Layers
import LinuxSystem
import OCI

/// Decides where selected files go in an image, by what is there already. Blocks shortly.
struct Placement {
  struct Owner: Sendable, Equatable {
    var uid: UInt32
    var gid: UInt32
  }

  /// What is there; `nil` for `--link`, which does not look.
  let destination: LowerTree?
  /// `--chown`; `nil` keeps what the source has, or root for a context.
  let owner: Owner?
  let chmod: FileMode?
  /// Of folders that are made on the way, in seconds since 1970.
  let now: Int64
  /// SOURCE_DATE_EPOCH.
  let epoch: Int64?

  private var entries: [LayerEntry] = []
  /// What this layer has at a path so far.
  private var made: [String: FileStatus.Kind] = [:]
  /// Folders that only this layer has: nothing is below in them.
  private var newFolders: Set<String> = []
  /// What the image has there is not seen any more.
  private var removed: Set<String> = []

  init(destination: LowerTree?, owner: Owner?, chmod: FileMode?, now: Int64, epoch: Int64?) {
    self.destination = destination
    self.owner = owner
    self.chmod = chmod
    self.now = now
    self.epoch = epoch
  }

  /// The members of a copy's layer; folders that are only on the way are left to whoever writes it.
  mutating func place(
    _ selections: [Selection], sources: CopySources, at path: String
  ) throws(BuildError) -> [LayerEntry] {
    for selection in selections { try place(selection, sources, at: path) }
    return Self.linked(entries)
  }

  /// Names of the same file stay that, as far as the copy takes them along: its content is in the layer once.
  private static func linked(_ entries: [LayerEntry]) -> [LayerEntry] {
    struct Inode: Hashable {
      var device: UInt64
      var number: UInt64
    }
    func inode(_ entry: LayerEntry) -> Inode? {
      guard case .file(_, _, let status?) = entry.content, status.links > 1 else { return nil }
      return Inode(device: status.device, number: status.inode)
    }
    guard entries.contains(where: { inode($0) != nil }) else { return entries }
    // Of several entries for one path the last one counts.
    var last: [String: Int] = [:]
    for (index, entry) in entries.enumerated() { last[entry.path] = index }
    var result = entries
    var first: [Inode: String] = [:]
    for (index, entry) in entries.enumerated() where last[entry.path] == index {
      guard let inode = inode(entry) else { continue }
      if let target = first[inode] {
        result[index].content = .hardLink(target: target)
      } else {
        first[inode] = entry.path
      }
    }
    return result
  }

  /// The folders of a path that is to be there, such as a working directory's; none when it is.
  mutating func folders(_ path: String) throws(BuildError) -> [LayerEntry] {
    try makeFolder(try resolve(FilePath.relative(path)))
    return entries
  }

  private mutating func place(_ selection: Selection, _ sources: CopySources, at path: String) throws(BuildError) {
    var target = try resolve(FilePath.relative(path))
    // The folder that contents go into is made as those on the way are, whatever it was copied from.
    if selection.isFolder || selection.keepsPath { try makeFolder(target, isTarget: true) }
    guard !selection.items.isEmpty else { return }
    if !selection.isFolder, !selection.keepsPath {
      let isThere = try existing(target)
      if FilePath.endsWithSlash(path) || isThere == .directory {
        try makeFolder(target)
        target = FilePath.join(target, selection.name)
      }
    }
    if selection.isUnpacked { return try unpack(selection.items, sources, at: target) }
    for item in selection.items {
      let isTop = item.path.isEmpty
      if isTop, selection.isFolder { continue }
      try put(item, at: isTop ? target : FilePath.join(target, item.path), sources)
    }
  }

  /// Puts what was in an archive in its place, as if it were unpacked there: members take the place of what is there, and
  /// folders that are only on the way to one are those that are there, also behind links.
  private mutating func unpack(
    _ items: [Selection.Item], _ sources: CopySources, at target: String
  ) throws(BuildError) {
    // Where the archive's folders are.
    var places = ["": target]
    for item in items where !item.path.isEmpty {
      guard let folder = places[FilePath.parent(item.path)] else { continue }
      var place = FilePath.join(folder, FilePath.name(item.path))
      let isFolder = item.entry.kind == .directory
      if isFolder, item.isOnTheWay {
        if try existing(place) == .symbolicLink { place = try resolve(place) }
        try makeFolder(place, isTarget: true)
      } else {
        if let there = try existing(place), (there == .directory) != isFolder { remove(place) }
        try put(item, at: place, sources)
      }
      if isFolder { places[item.path] = place }
    }
  }

  /// Forgets what is there: something of another kind takes its place, and hides it with all that is in it.
  private mutating func remove(_ path: String) {
    let inside = path + "/"
    entries.removeAll { $0.path == path || $0.path.hasPrefix(inside) }
    made = made.filter { $0.key != path && !$0.key.hasPrefix(inside) }
    newFolders = newFolders.filter { $0 != path && !$0.hasPrefix(inside) }
    removed.insert(path)
  }

  private mutating func put(_ item: Selection.Item, at path: String, _ sources: CopySources) throws(BuildError) {
    let isFolder = item.entry.kind == .directory
    if path.isEmpty {
      // The root exists and keeps its attributes.
      if isFolder { return }
      throw BuildError(.invalid, "a file cannot be copied to \"/\": name a file or a folder below it")
    }
    let there = try existing(path)
    if isFolder {
      if let there, there != .directory { throw BuildError(.invalid, "cannot copy to non-directory: /\(path)") }
    } else if there == .directory {
      throw BuildError(.invalid, "cannot copy the file \"\(item.entry.path)\" over the folder /\(path)")
    }
    try makeFolder(FilePath.parent(path))
    let status = item.entry.status
    var entry = LayerEntry(
      path: path, content: .directory, mode: status.mode, modified: FileTime(seconds: status.modified.seconds),
      attributes: [])
    var origin = FileTree.Origin.context
    switch item.content {
    case .bytes(let bytes): entry.content = .bytes(bytes)
    case .tree(let index):
      let tree = sources.trees[index]
      origin = tree.origin
      switch item.entry.kind {
      case .file: entry.content = .file(tree.source, path: item.entry.path, expected: status)
      case .directory: entry.content = .directory
      case .symbolicLink: entry.content = .symbolicLink(target: item.entry.target)
      case .pipe, .socket: entry.content = .pipe
      case .characterDevice:
        entry.content = .characterDevice(major: status.deviceMajor, minor: status.deviceMinor)
      case .blockDevice: entry.content = .blockDevice(major: status.deviceMajor, minor: status.deviceMinor)
      }
    }
    if origin == .image { (entry.owner, entry.group) = (status.owner, status.group) }
    if let owner {
      // A new owner takes a program's capabilities away, as chown(2) does.
      (entry.owner, entry.group) = (owner.uid, owner.gid)
    } else if let capability = item.capability {
      entry.attributes = [FileAttribute(name: "security.capability", value: capability)]
    }
    if let chmod, item.entry.kind != .symbolicLink {
      entry.mode = chmod.applied(to: status.mode, isDirectory: isFolder)
    }
    // A time of the context is not part of its content: with an epoch it must not be seen. Others are only bounded.
    if let epoch, origin == .context { entry.modified = FileTime(seconds: epoch) }
    entries.append(entry)
    made[path] = item.entry.kind
    if isFolder, there == nil { newFolders.insert(path) }
  }

  /// What is, or will be, at a path whose parents are no links.
  private func existing(_ path: String) throws(BuildError) -> FileStatus.Kind? {
    if path.isEmpty { return .directory }
    if let kind = made[path] { return kind }
    guard let destination else { return nil }
    if newFolders.contains(FilePath.parent(path)) || removed.contains(path) { return nil }
    return try stored { () throws(OCIError) in try destination.status(path)?.kind }
  }

  private func resolve(_ path: String) throws(BuildError) -> String {
    guard let destination else { return path }
    return try stored { () throws(OCIError) in try destination.resolve(path) }
  }

  /// Makes a folder with its parents where they are missing: root's or `--chown`'s, 0755 or what `--chmod` says in
  /// numbers.
  ///
  /// - Parameter isTarget: whether it is to be in the layer in any case.
  private mutating func makeFolder(_ path: String, isTarget: Bool = false) throws(BuildError) {
    guard !path.isEmpty, made[path] != .directory else { return }
    try makeFolder(FilePath.parent(path))
    if let there = try existing(path) {
      guard there == .directory else { throw BuildError(.invalid, "cannot copy to non-directory: /\(path)") }
      made[path] = .directory
      return
    }
    // With `--link` it is not known whether the folder is there: it must not look like somebody's wish.
    if destination != nil || owner != nil || isTarget {
      entries.append(
        LayerEntry(
          path: path, content: .directory, owner: owner?.uid ?? 0, group: owner?.gid ?? 0, mode: chmod?.octal ?? 0o755,
          modified: FileTime(seconds: epoch ?? now), attributes: []))
    }
    made[path] = .directory
    newFolders.insert(path)
  }
}

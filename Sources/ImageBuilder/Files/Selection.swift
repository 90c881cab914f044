import Dockerfile
import Glibc
import LinuxSystem
import OCI

/// What one source of a `COPY` or `ADD` is: files of a tree, a document, or something that was fetched. Known without
/// looking at where it goes, so that it can be part of a cache key.
struct Selection: Sendable {
  enum Content: Sendable, Equatable {
    /// The tree of this position in `CopySources.trees`.
    case tree(Int)
    case bytes([UInt8])
  }

  struct Item: Sendable {
    /// Below the destination; empty for the source itself.
    var path: String
    var entry: FileEntry
    var content: Content
    /// Of a file's content.
    var digest: Digest?
    /// Of a file with `security.capability`.
    var capability: [UInt8]?
    /// A folder of an archive that is no member of it, but only on the way to one: it takes what is there.
    var isOnTheWay = false
  }

  /// The source's last name, which a file or a folder copied as a whole takes in the destination.
  var name: String
  /// A folder's content goes into the destination; anything else goes there itself.
  var isFolder: Bool
  /// Whether the paths are to be kept below the destination as they are (`--parents`).
  var keepsPath: Bool
  /// The folder itself first (path empty), then what is in it; for a file only itself. With `keepsPath` the parents, and
  /// nothing for a pattern without a match, which makes the destination all the same.
  var items: [Item]
  /// A local archive that `ADD` unpacks.
  var isArchive = false
  /// What was in an archive: it takes the place of what is there.
  var isUnpacked = false
}

/// The trees that selections come from.
struct CopySources: Sendable {
  var trees: [FileTree]
}

/// Finds what the sources of a copy name. Blocks.
struct Selector {
  let tree: FileTree
  let treeIndex: Int
  let excluded: DockerIgnore?
  let keepsParents: Bool

  /// The selections of one source, in the order of names; empty when a pattern matches nothing. `..` at the root stays
  /// there, as with `docker build`.
  func select(_ source: String) throws(BuildError) -> [Selection] {
    let pivot = keepsParents ? Self.pivot(source) : nil
    let pattern = FilePath.relative(source)
    guard Wildcard.isPattern(pattern) else {
      return [try select(path: Self.unescape(pattern), written: source, pivot: pivot)]
    }
    let matches = try matches(Wildcard(pattern), source: source)
    if keepsParents, matches.isEmpty { return [Selection(name: "", isFolder: false, keepsPath: true, items: [])] }
    var selections: [Selection] = []
    for path in matches { selections.append(try select(path: path, written: source, pivot: pivot)) }
    return selections
  }

  private static func unescape(_ text: String) -> String {
    guard text.contains("\\") else { return text }
    var result = ""
    var isEscaped = false
    for character in text {
      if character == "\\", !isEscaped {
        isEscaped = true
        continue
      }
      isEscaped = false
      result.append(character)
    }
    return result
  }

  /// How many leading parts `a/./b` drops. A dot at the end is no such place.
  private static func pivot(_ source: String) -> Int? {
    let parts = FilePath.parts(source)
    guard let at = parts.indices.dropFirst().dropLast().first(where: { parts[$0] == "." }) else { return nil }
    return parts[..<at].count { $0 != "." }
  }

  /// What a pattern matches, each once.
  private func matches(_ pattern: Wildcard, source: String) throws(BuildError) -> [String] {
    let prefix = pattern.literalPrefix
    let folder = prefix.joined(separator: "/")
    guard let start = try tree.resolve(folder), try tree.entry(start)?.kind == .directory else { return [] }
    var matches: [String] = []
    // By bytes: to Swift two forms of one character are equal, and two files have them as their names.
    var seen: Set<[UInt8]> = []
    func add(_ path: String) { if seen.insert(Array(path.utf8)).inserted { matches.append(path) } }
    func descend(_ folder: String, _ index: Int) throws(BuildError) {
      let part = pattern.part(index)
      let isLast = index == pattern.count - 1
      if part == "**" {
        // No folder, or one more.
        if !isLast { try descend(folder, index + 1) }
        for name in try tree.names(in: folder) {
          let path = FilePath.join(folder, name)
          let isDirectory = try tree.entry(path)?.kind == .directory
          if isDirectory {
            try descend(path, index)
          } else if isLast {
            add(path)
          }
        }
        return
      }
      for name in try tree.names(in: folder) {
        guard let isMatch = Wildcard.matches(part, name) else {
          throw BuildError(
            .dockerfile, "\"\(source)\" is a malformed pattern: a \"[\" has no end, or a \"\\\" stands last")
        }
        guard isMatch else { continue }
        let path = FilePath.join(folder, name)
        if isLast {
          add(path)
        } else if let next = try tree.resolve(path), try tree.entry(next)?.kind == .directory {
          try descend(path, index + 1)
        }
      }
    }
    try descend(start, prefix.count)
    return matches
  }

  private func select(path written: String, written source: String, pivot: Int?) throws(BuildError) -> Selection {
    guard let path = try tree.resolve(written) else { throw try missing(written, source) }
    guard let entry = try tree.entry(path) else { throw try missing(written, source) }
    let name = FilePath.name(written)
    let parts = keepsParents ? FilePath.parts(written).map(String.init) : []
    let dropped = min(pivot ?? 0, parts.count)
    // Where the source stands below the folder from which patterns count: that folder itself, or with `--parents` the
    // context's root or what is before `/./`.
    let base = parts[dropped...].joined(separator: "/")
    func isExcluded(_ path: String) -> Bool { excluded?.excludes(path) ?? false }
    var found: [FileEntry] = []
    if entry.kind == .directory {
      try tree.walk(path, into: &found) { isExcluded(FilePath.join(base, relative($0.path, to: path))) }
      if found.isEmpty, tree.isIgnored(path) { throw try missing(written, source) }
    } else if tree.isIgnored(path) {
      throw try missing(written, source)
    }
    var items: [Selection.Item] = []
    if !keepsParents {
      // What is named itself is never left out.
      items.append(try item(entry, at: ""))
    } else if !isExcluded(base) || !found.isEmpty {
      var real = parts[..<dropped].joined(separator: "/")
      var kept = ""
      for part in parts[dropped...].dropLast() {
        real = FilePath.join(real, part)
        kept = FilePath.join(kept, part)
        guard let resolved = try tree.resolve(real), let folder = try tree.entry(resolved) else { continue }
        items.append(Selection.Item(path: kept, entry: folder, content: .tree(treeIndex)))
      }
      if !base.isEmpty { items.append(try item(entry, at: base)) }
    }
    for child in found { items.append(try item(child, at: FilePath.join(base, relative(child.path, to: path)))) }
    return Selection(
      name: name, isFolder: entry.kind == .directory, keepsPath: keepsParents,
      items: items.filter { $0.entry.kind != .socket })
  }

  private func relative(_ path: String, to folder: String) -> String {
    folder.isEmpty ? path : String(Substring(path.utf8.dropFirst(folder.utf8.count + 1)))
  }

  private func item(_ entry: FileEntry, at path: String) throws(BuildError) -> Selection.Item {
    var item = Selection.Item(path: path, entry: entry, content: .tree(treeIndex))
    switch (tree.origin, entry.kind) {
    case (.context, .characterDevice), (.context, .blockDevice), (.context, .pipe):
      let kind = entry.kind == .pipe ? "a named pipe" : "a device"
      throw BuildError(
        .context, "\"\(entry.path)\" in \(tree.label) is \(kind); remove it, or leave it out by .dockerignore")
    case (.image, .file):
      item.capability = try system { () throws(SystemError) in
        try Directory.extendedAttribute(tree.hostPath(entry.path), name: "security.capability")
      }
    default: break
    }
    return item
  }

  /// Why a source is not there.
  private func missing(_ path: String, _ source: String) throws(BuildError) -> BuildError {
    let shown = "/" + path
    if tree.isIgnored(path), try tree.entry(path) != nil {
      return BuildError(.notFound, "\"\(shown)\": not found: .dockerignore leaves it out of \(tree.label)")
    }
    // The first part that is a symbolic link to nothing tells why.
    var walked = ""
    for part in FilePath.parts(path) {
      walked = FilePath.join(walked, String(part))
      guard let entry = try? tree.entry(walked) else { break }
      if entry.kind == .symbolicLink, try tree.resolve(walked) == nil {
        return BuildError(
          .notFound,
          "\"\(shown)\": not found: \"\(walked)\" is a symbolic link to \"\(entry.target)\", which is not in \(tree.label)"
        )
      }
    }
    return BuildError(.notFound, "\"\(shown)\": not found in \(tree.label)")
  }
}

extension Selection {
  /// Fills in the digests of the files' contents, on several threads. Blocks until all are done or one has failed.
  static func hash(_ selections: inout [Selection], _ sources: CopySources) async throws(BuildError) {
    struct Job: Sendable {
      var selection: Int
      var item: Int
      var tree: FileTree
      var entry: FileEntry
    }
    var jobs: [Job] = []
    for (s, selection) in selections.enumerated() {
      for (i, item) in selection.items.enumerated() where item.entry.kind == .file {
        switch item.content {
        case .tree(let index): jobs.append(Job(selection: s, item: i, tree: sources.trees[index], entry: item.entry))
        case .bytes(let bytes): selections[s].items[i].digest = Digest(of: bytes)
        }
      }
    }
    guard !jobs.isEmpty else { return }
    let lanes = min(max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))), 8, max(1, jobs.count / 64))
    let all = jobs
    let outcomes = Outcomes<[Digest]>()
    await withTaskGroup(of: Void.self) { group in
      for lane in 0..<lanes {
        group.addTask {
          do throws(BuildError) {
            let digests = try await blocking { () throws(BuildError) -> [Digest] in
              let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 16)
              defer { buffer.deallocate() }
              var digests: [Digest] = []
              for at in stride(from: lane, to: all.count, by: lanes) {
                digests.append(try all[at].tree.digest(all[at].entry, buffer: buffer))
              }
              return digests
            }
            outcomes.set(lane, .success(digests))
          } catch {
            outcomes.set(lane, .failure(error))
          }
        }
      }
    }
    for lane in 0..<lanes {
      for (position, digest) in try outcomes.take(lane).get().enumerated() {
        let job = all[lane + position * lanes]
        selections[job.selection].items[job.item].digest = digest
      }
    }
  }
}

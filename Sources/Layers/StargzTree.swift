import LinuxSystem
import OCI
import Wire

/// The files of an eStargz layer as its table of contents tells of them, in the form in which overlayfs wants a lower
/// layer: whiteouts are character devices 0:0 and `trusted.overlay.opaque`, as `LayerExtractor` makes them.
///
/// It has everything but the contents of files, of which it knows where they are. Immutable. What the format itself adds
/// (the table and the landmarks) is not in it.
public struct StargzTree: Sendable {
  public struct Node: Sendable {
    public var kind: TarEntry.Kind
    /// Permission bits.
    public var mode: UInt32
    public var owner: UInt32 = 0
    public var group: UInt32 = 0
    public var modified: Int64 = 0
    public var modifiedNanoseconds = 0
    public var size: Int64 = 0
    /// Names, and for a folder one for itself and one for each folder in it.
    public var links: UInt32 = 1
    public var deviceMajor: UInt32 = 0
    public var deviceMinor: UInt32 = 0
    /// Of a symbolic link.
    public var target = ""
    public var attributes: [FileAttribute] = []
    /// Of a file, in order.
    public var chunks: Range<Int> = 0..<0
    /// Of a folder, sorted by their bytes.
    public var children: [Child] = []
    /// The folder that a folder is in; the root's is the root.
    public var parent = 0
  }

  public struct Child: Sendable {
    public var name: [UInt8]
    public var node: Int
  }

  /// A piece of a file's content.
  public struct Chunk: Sendable {
    /// Where the gzip member begins in the layer.
    public var offset: Int64
    /// Where, at the latest, what is needed of the member ends.
    public var end: Int64
    /// Decompressed bytes of the member before the chunk.
    var inner: Int64
    /// Where it begins in the file.
    public var start: Int64
    /// Decompressed.
    public var size: Int64
    var digest: Digest
  }

  /// The root is the first.
  public private(set) var nodes: [Node]
  public private(set) var chunks: [Chunk]
  /// How many of the layer's first bytes its program needs at its start; 0 when nobody knows.
  public private(set) var prefetchSize: Int64
  /// Bytes of all files.
  public private(set) var contentSize: Int64

  /// Names, and pieces of files, that a layer may have to be read so; one with more is unpacked as a whole.
  static let entriesMax = 1_000_000

  /// - Parameters:
  ///   - toc: verified (`Stargz.tableOfContents`).
  ///   - tocOffset: where it is in the layer: the end of what has content.
  public init(_ toc: [UInt8], tocOffset: Int64) throws(OCIError) {
    guard Self.valuesAtMost(toc) <= Stargz.tocValuesMax else {
      throw OCIError(.limitExceeded, "the table of contents has more than \(Stargz.tocValuesMax) values")
    }
    let json: JSON
    do throws(JSONError) { json = try JSON.parse(toc, depthMax: 16) } catch {
      throw OCIError(.invalidArchive, "the table of contents is not valid JSON: \(error)")
    }
    guard json["version"]?.int == 1, let entries = json["entries"]?.array else {
      throw OCIError(.invalidArchive, "the table of contents is none of version 1")
    }
    guard entries.count <= Self.entriesMax else {
      throw OCIError(.limitExceeded, "the table of contents has more than \(Self.entriesMax) entries")
    }
    var builder = StargzTreeBuilder(tocOffset: tocOffset)
    for entry in entries { try builder.add(entry) }
    try builder.finish()
    nodes = builder.nodes
    chunks = builder.chunks
    prefetchSize = builder.prefetchSize
    contentSize = builder.nodes.reduce(0) { $0 + $1.size }
  }

  /// The number of values of JSON, or more when it is no JSON: each but the first follows one of these.
  private static func valuesAtMost(_ json: [UInt8]) -> Int {
    var (count, isText, isEscaped) = (1, false, false)
    for byte in json {
      if isText {
        if isEscaped { isEscaped = false } else if byte == 0x5C { isEscaped = true } else { isText = byte != 0x22 }
      } else {
        switch byte {
        case 0x22: isText = true
        case UInt8(ascii: ","), UInt8(ascii: "["), UInt8(ascii: "{"): count += 1
        default: break
        }
      }
    }
    return count
  }

  /// What a folder has under that name.
  public func child(of folder: Int, named name: some Collection<UInt8>) -> Int? {
    let children = nodes[folder].children
    var (low, high) = (0, children.count)
    while low < high {
      let middle = (low + high) / 2
      if children[middle].name.lexicographicallyPrecedes(name) { low = middle + 1 } else { high = middle }
    }
    guard low < children.count, children[low].name.elementsEqual(name) else { return nil }
    return children[low].node
  }

  /// What is at a path, without following symbolic links.
  public func node(at path: String) -> Int? {
    var node = 0
    for part in path.utf8.split(separator: UInt8(ascii: "/")) {
      guard let next = child(of: node, named: part) else { return nil }
      node = next
    }
    return node
  }

  /// What is at a path, as a process whose root is this tree finds it: symbolic links lead on within the tree.
  public func node(following path: String) -> Int? {
    var rest = Array(path.utf8.split(separator: UInt8(ascii: "/")).reversed())
    var (node, links) = (0, 0)
    while let part = rest.popLast() {
      if part.elementsEqual(".".utf8) { continue }
      if part.elementsEqual("..".utf8) {
        node = nodes[node].parent
        continue
      }
      guard let next = child(of: node, named: part) else { return nil }
      if nodes[next].kind == .symbolicLink {
        // As the kernel counts them.
        guard links < 40 else { return nil }
        links += 1
        if nodes[next].target.utf8.first == UInt8(ascii: "/") { node = 0 }
        rest += nodes[next].target.utf8.split(separator: UInt8(ascii: "/")).reversed()
      } else {
        node = next
      }
    }
    return node
  }

  /// The chunks that have a part of a file.
  public func chunks(of node: Int, offset: Int64, count: Int) -> Range<Int> {
    let all = nodes[node].chunks
    let end = min(offset + Int64(count), nodes[node].size)
    guard offset >= 0, offset < end else { return all.lowerBound..<all.lowerBound }
    var (low, high) = (all.lowerBound, all.upperBound)
    while low < high {
      let middle = (low + high) / 2
      if chunks[middle].start + chunks[middle].size <= offset { low = middle + 1 } else { high = middle }
    }
    var last = low
    while last < all.upperBound, chunks[last].start < end { last += 1 }
    return low..<last
  }
}

extension StargzTree.Chunk {
  /// The content, verified.
  /// - Parameter source: what the layer has from `offset` to `end`.
  public func content(of source: any ByteSource) throws(OCIError) -> [UInt8] {
    let gzip = try GzipSource(BufferedSource(source, capacity: 64 << 10), label: "the chunk at \(offset)")
    let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)
    defer { scratch.deallocate() }
    var skipped: Int64 = 0
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Int(size))
    while skipped < inner || Int64(bytes.count) < size {
      let wanted = min(skipped < inner ? inner - skipped : size - Int64(bytes.count), Int64(scratch.count))
      let got = try gzip.read(into: UnsafeMutableRawBufferPointer(rebasing: scratch[..<Int(wanted)]))
      guard got > 0 else { throw OCIError(.invalidArchive, "the chunk at \(offset) is shorter than it should be") }
      if skipped < inner { skipped += Int64(got) } else { bytes.append(contentsOf: scratch[..<got]) }
    }
    let found = Digest(of: bytes, digest.algorithm)
    guard found == digest else {
      throw OCIError(
        .digestMismatch, "the chunk at \(offset) has the digest \(found) instead of \(digest)", digests: [digest])
    }
    return bytes
  }
}

/// Puts a table's entries together.
private struct StargzTreeBuilder {
  private(set) var nodes: [StargzTree.Node]
  private(set) var chunks: [StargzTree.Chunk] = []
  private(set) var prefetchSize: Int64 = 0
  private let tocOffset: Int64
  private var names: [[[UInt8]: Int]] = [[:]]
  /// The file whose further chunks may come.
  private var file: (node: Int, name: String)?

  init(tocOffset: Int64) {
    self.tocOffset = tocOffset
    nodes = [StargzTree.Node(kind: .directory, mode: 0o755)]
  }

  private func invalid(_ name: String, _ why: String) -> OCIError {
    OCIError(.invalidArchive, "the table of contents: \"\(name.prefix(200))\" \(why)")
  }

  mutating func add(_ json: JSON) throws(OCIError) {
    guard let name = json["name"]?.string, let type = json["type"]?.string else {
      throw OCIError(.invalidArchive, "the table of contents has an entry without a name or a type")
    }
    guard name.utf8.count < 4096, !name.utf8.contains(0) else { throw invalid(name, "is no name") }
    if type == "chunk" { return try addChunk(json, of: name) }
    file = nil
    let path = try LayerExtractor.clean(name, label: "the table of contents")
    if Stargz.reservedNames.contains(path) {
      if path == Stargz.prefetchLandmark { prefetchSize = min(max(json["offset"]?.int ?? 0, 0), tocOffset) }
      return
    }
    let last = path.utf8.split(separator: UInt8(ascii: "/")).last.map(Array.init) ?? []
    if last.starts(with: ".wh.".utf8) { return try whiteout(path, last) }
    if type == "hardlink" { return try link(path, json["linkName"]?.string ?? "") }
    let node = try node(json, type: type, name: name)
    if path.isEmpty {
      guard node.kind == .directory else { throw invalid(name, "is the root folder, but no folder") }
      return setAttributes(of: 0, from: node)
    }
    let (folder, leaf) = try parent(of: path)
    let old = names[folder][leaf]
    if let old, nodes[old].kind == .directory, node.kind == .directory {
      setAttributes(of: old, from: node)
    } else {
      let isOpaque = old.map { isWhiteout(nodes[$0]) && node.kind == .directory } ?? false
      let new = try insert(node, leaf, in: folder)
      if isOpaque { setOpaque(new) }
    }
    guard node.kind == .file, node.size > 0, let new = names[folder][leaf] else { return }
    file = (new, name)
    nodes[new].chunks = chunks.count..<chunks.count
    try addChunk(json, of: name)
  }

  private mutating func insert(
    _ node: StargzTree.Node, _ leaf: [UInt8], in folder: Int
  ) throws(OCIError) -> Int {
    // Folders without an entry of their own count, too.
    guard nodes.count < StargzTree.entriesMax else {
      throw OCIError(.limitExceeded, "the table of contents has more than \(StargzTree.entriesMax) files and folders")
    }
    // What is not a folder any more leaves its nodes behind: no name leads there.
    if let old = names[folder][leaf], nodes[old].kind != .directory { nodes[old].links -= 1 }
    nodes.append(node)
    names.append([:])
    nodes[nodes.count - 1].parent = folder
    names[folder][leaf] = nodes.count - 1
    return nodes.count - 1
  }

  private func isWhiteout(_ node: StargzTree.Node) -> Bool {
    node.kind == .characterDevice && node.deviceMajor == 0 && node.deviceMinor == 0
  }

  private mutating func setAttributes(of index: Int, from node: StargzTree.Node) {
    nodes[index].mode = node.mode
    nodes[index].owner = node.owner
    nodes[index].group = node.group
    nodes[index].modified = node.modified
    nodes[index].modifiedNanoseconds = node.modifiedNanoseconds
    let own = nodes[index].attributes.filter { $0.name == Self.opaque.name }
    nodes[index].attributes = own + node.attributes
  }

  private static let opaque = FileAttribute(name: "trusted.overlay.opaque", value: [UInt8(ascii: "y")])

  private mutating func setOpaque(_ index: Int) {
    if !nodes[index].attributes.contains(Self.opaque) { nodes[index].attributes.append(Self.opaque) }
  }

  /// The folder that a path is in, which is made when it is missing, and the path's last part.
  private mutating func parent(of path: String) throws(OCIError) -> (Int, [UInt8]) {
    var parts = path.utf8.split(separator: UInt8(ascii: "/")).map(Array.init)
    guard let leaf = parts.popLast() else { return (0, []) }
    return (try folder(parts, path), leaf)
  }

  private mutating func folder(_ parts: [[UInt8]], _ path: String) throws(OCIError) -> Int {
    var folder = 0
    for part in parts {
      if let next = names[folder][part] {
        guard nodes[next].kind == .directory else {
          throw invalid(path, "leads through something that is no folder; such a layer is not read file by file")
        }
        folder = next
      } else {
        folder = try insert(StargzTree.Node(kind: .directory, mode: 0o755), part, in: folder)
      }
    }
    return folder
  }

  private func find(_ path: String) -> Int? {
    var found = 0
    for part in path.utf8.split(separator: UInt8(ascii: "/")) {
      guard let next = names[found][Array(part)] else { return nil }
      found = next
    }
    return found
  }

  private mutating func link(_ path: String, _ target: String) throws(OCIError) {
    let clean = try LayerExtractor.clean(target, label: "the table of contents")
    guard let found = find(clean), nodes[found].kind != .directory else {
      throw invalid(path, "links to \"\(target.prefix(200))\", which is no file of the layer")
    }
    let (folder, leaf) = try parent(of: path)
    guard !leaf.isEmpty else { throw invalid(path, "is no name of a file") }
    let old = names[folder][leaf]
    if old == found { return }
    if let old, nodes[old].kind != .directory { nodes[old].links -= 1 }
    names[folder][leaf] = found
    nodes[found].links += 1
  }

  private mutating func whiteout(_ path: String, _ leaf: [UInt8]) throws(OCIError) {
    var parts = path.utf8.split(separator: UInt8(ascii: "/")).map(Array.init)
    parts.removeLast()
    if leaf.elementsEqual(".wh..wh..opq".utf8) { return setOpaque(try folder(parts, path)) }
    if leaf.starts(with: ".wh..wh.".utf8) { return }
    let hidden = Array(leaf.dropFirst(4))
    guard !hidden.isEmpty, hidden != Array(".".utf8), hidden != Array("..".utf8) else {
      throw invalid(path, "hides no file")
    }
    let folder = try folder(parts, path)
    // What this layer has, stays.
    if let old = names[folder][hidden] {
      if nodes[old].kind == .directory { setOpaque(old) }
      return
    }
    _ = try insert(StargzTree.Node(kind: .characterDevice, mode: 0), hidden, in: folder)
  }

  private func node(_ json: JSON, type: String, name: String) throws(OCIError) -> StargzTree.Node {
    let kinds: [String: TarEntry.Kind] = [
      "reg": .file, "dir": .directory, "symlink": .symbolicLink, "char": .characterDevice, "block": .blockDevice,
      "fifo": .pipe,
    ]
    guard let kind = kinds[type] else { throw invalid(name, "is of the unknown type \"\(type.prefix(40))\"") }
    func number(_ key: String, max: Int64) throws(OCIError) -> Int64 {
      guard let value = json[key], !value.isNull else { return 0 }
      guard let number = value.int, (0...max).contains(number) else { throw invalid(name, "has no valid \(key)") }
      return number
    }
    var node = StargzTree.Node(kind: kind, mode: UInt32(truncatingIfNeeded: json["mode"]?.int ?? 0) & 0o7777)
    node.owner = UInt32(try number("uid", max: Int64(UInt32.max) - 1))
    node.group = UInt32(try number("gid", max: Int64(UInt32.max) - 1))
    if let time = json["modtime"]?.string.flatMap({ Timestamp(rfc3339: $0) })?.microseconds {
      let rest = ((time % 1_000_000) + 1_000_000) % 1_000_000
      node.modified = (time - rest) / 1_000_000
      node.modifiedNanoseconds = Int(rest) * 1000
    }
    switch kind {
    case .file: node.size = try number("size", max: ImageLimits().uncompressedMax)
    case .symbolicLink:
      node.target = json["linkName"]?.string ?? ""
      guard (1..<4096).contains(node.target.utf8.count), !node.target.utf8.contains(0) else {
        throw invalid(name, "is a symbolic link without a target")
      }
      node.mode = 0o777
      node.size = Int64(node.target.utf8.count)
    case .characterDevice, .blockDevice:
      node.deviceMajor = UInt32(try number("devMajor", max: 0xFFF))
      node.deviceMinor = UInt32(try number("devMinor", max: 0xF_FFFF))
    default: break
    }
    if kind == .symbolicLink { return node }
    for (key, value) in json["xattrs"]?.object?.members ?? [] where LayerExtractor.isKept(key) {
      guard let bytes = value.string.flatMap({ Base64.decode($0) }), key.utf8.count <= 255, bytes.count <= 64 << 10
      else { throw invalid(name, "has an attribute that is none") }
      node.attributes.append(FileAttribute(name: key, value: bytes))
    }
    return node
  }

  // MARK: Content

  private mutating func addChunk(_ json: JSON, of name: String) throws(OCIError) {
    guard let file, file.name == name else { throw invalid(name, "has a chunk that does not follow its file") }
    guard chunks.count < StargzTree.entriesMax else {
      throw OCIError(.limitExceeded, "the table of contents has more than \(StargzTree.entriesMax) chunks")
    }
    let size = nodes[file.node].size
    let start = chunks[nodes[file.node].chunks].last.map { $0.start + $0.size } ?? 0
    var count = json["chunkSize"]?.int ?? 0
    if count == 0 { count = size - start }
    guard let offset = json["offset"]?.int, (0..<tocOffset).contains(offset), json["chunkOffset"]?.int ?? 0 == start,
      count > 0, count <= size - start
    else { throw invalid(name, "has a chunk that is not where it should be") }
    let inner = json["innerOffset"]?.int ?? 0
    guard inner >= 0, inner <= Stargz.chunkMax, count <= Stargz.chunkMax else {
      throw OCIError(
        .limitExceeded,
        "\"\(name.prefix(200))\" has chunks of more than \(Stargz.chunkMax) bytes: "
          + "such a layer is not read file by file")
    }
    guard let digest = json["chunkDigest"]?.string.flatMap({ Digest($0) }) else {
      throw invalid(name, "has a chunk without a digest")
    }
    chunks.append(
      StargzTree.Chunk(offset: offset, end: tocOffset, inner: inner, start: start, size: count, digest: digest))
    nodes[file.node].chunks = nodes[file.node].chunks.lowerBound..<chunks.count
  }

  mutating func finish() throws(OCIError) {
    let offsets = Array(Set(chunks.map(\.offset))).sorted()
    for index in chunks.indices {
      let chunk = chunks[index]
      // Deflate never makes more of its input than this, with the headers.
      let needed = chunk.inner + chunk.size
      let most = chunk.offset + needed + needed / 512 + 1024
      var (low, high) = (0, offsets.count)
      while low < high {
        let middle = (low + high) / 2
        if offsets[middle] <= chunk.offset { low = middle + 1 } else { high = middle }
      }
      chunks[index].end = min(low < offsets.count ? offsets[low] : tocOffset, most, tocOffset)
    }
    for index in nodes.indices {
      let node = nodes[index]
      if node.kind == .file {
        let held = chunks[node.chunks].last.map { $0.start + $0.size } ?? 0
        guard held == node.size else {
          throw OCIError(.invalidArchive, "the table of contents has only \(held) of the \(node.size) bytes of a file")
        }
      }
      guard node.kind == .directory else { continue }
      nodes[index].children = names[index].map { StargzTree.Child(name: $0.key, node: $0.value) }
        .sorted { $0.name.lexicographicallyPrecedes($1.name) }
      nodes[index].links = 2 + UInt32(nodes[index].children.count { nodes[$0.node].kind == .directory })
    }
  }
}

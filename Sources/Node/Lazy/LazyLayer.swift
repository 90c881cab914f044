import Glibc
import Layers
import LinuxSystem
import OCI
import Synchronization

/// The files of a layer of which only a part is here, for FUSE. What is read is fetched, and verified by the layer's table
/// of contents before one byte of it is given away.
///
/// The layer is below a folder `fs`: when the mount is gone, its mount point has no such folder, and nobody takes the
/// empty folder for the layer.
final class LazyLayer: FuseFileSystem {
  private let tree: StargzTree
  private let blob: LazyBlob
  private let chunks: LazyChunks
  private let deadline: Duration
  private let failed: @Sendable (String) -> Void

  /// The mount's root, the folder `fs` (the layer's root), and the layer's other nodes.
  private static let root: UInt64 = 1
  private static let first: UInt64 = 2
  static let folder = "fs"

  let hasAttributes: Bool
  let totals: (bytes: Int64, files: Int)

  /// - Parameters:
  ///   - deadline: how long somebody waits for what he reads.
  ///   - failed: told why a read fails.
  init(
    tree: StargzTree, blob: LazyBlob, chunks: LazyChunks, deadline: Duration,
    failed: @escaping @Sendable (String) -> Void
  ) {
    self.tree = tree
    self.blob = blob
    self.chunks = chunks
    self.deadline = deadline
    self.failed = failed
    hasAttributes = tree.nodes.contains { !$0.attributes.isEmpty }
    totals = (tree.contentSize, tree.nodes.count)
  }

  private func index(_ node: UInt64) -> Int? {
    guard node >= Self.first, node - Self.first < UInt64(tree.nodes.count) else { return nil }
    return Int(node - Self.first)
  }

  private func number(_ index: Int) -> UInt64 { UInt64(index) + Self.first }

  func status(of node: UInt64) -> FuseStatus? {
    if node == Self.root {
      return FuseStatus(
        mode: S_IFDIR | 0o755, owner: 0, group: 0, size: 0, links: 3, modified: 0, modifiedNanoseconds: 0)
    }
    guard let index = index(node) else { return nil }
    let node = tree.nodes[index]
    let type =
      switch node.kind {
      case .file, .hardLink: S_IFREG
      case .directory: S_IFDIR
      case .symbolicLink: S_IFLNK
      case .pipe: S_IFIFO
      case .characterDevice: S_IFCHR
      case .blockDevice: S_IFBLK
      }
    return FuseStatus(
      mode: type | node.mode, owner: node.owner, group: node.group, size: node.size, links: node.links,
      modified: node.modified, modifiedNanoseconds: node.modifiedNanoseconds, deviceMajor: node.deviceMajor,
      deviceMinor: node.deviceMinor)
  }

  func child(of folder: UInt64, named name: UnsafeRawBufferPointer) -> UInt64? {
    if folder == Self.root { return name.elementsEqual(Self.folder.utf8) ? Self.first : nil }
    return index(folder).flatMap { tree.child(of: $0, named: name) }.map(number)
  }

  func parent(of folder: UInt64) -> UInt64 {
    guard let index = index(folder), index > 0 else { return Self.root }
    return number(tree.nodes[index].parent)
  }

  func childCount(of folder: UInt64) -> Int { index(folder).map { tree.nodes[$0].children.count } ?? 1 }

  func child(of folder: UInt64, at position: Int) -> (name: [UInt8], node: UInt64) {
    guard let index = index(folder) else { return (Array(Self.folder.utf8), Self.first) }
    let child = tree.nodes[index].children[position]
    return (child.name, number(child.node))
  }

  func target(ofLink node: UInt64) -> [UInt8] { index(node).map { Array(tree.nodes[$0].target.utf8) } ?? [] }

  func attributes(of node: UInt64) -> [FileAttribute] { index(node).map { tree.nodes[$0].attributes } ?? [] }

  // MARK: Content

  func read(_ node: UInt64, offset: Int64, count: Int, _ answer: FuseAnswer) {
    guard let index = index(node) else { return answer.fail(ESTALE) }
    let wanted = tree.chunks(of: index, offset: offset, count: count)
    let end = min(offset + Int64(count), tree.nodes[index].size)
    guard !wanted.isEmpty, offset < end else { return answer.send([]) }
    let part = Part(chunks: wanted, range: offset..<end, end: .now + deadline)
    serveSoon(part, answer)
  }

  private struct Part {
    var chunks: Range<Int>
    /// Of the file.
    var range: Range<Int64>
    /// When the read fails.
    var end: ContinuousClock.Instant
  }

  private func serveSoon(_ part: Part, _ answer: FuseAnswer, isSecondTime: Bool = false) {
    BlockingLanes.lazyLayers.submit(nil, "read a layer", failed: { _ in answer.fail(EIO) }) { [self] in
      serve(part, answer, isSecondTime: isSecondTime)
    }
  }

  /// Answers when everything is here; otherwise it is fetched first. Blocks for as long as decompression takes.
  private func serve(_ part: Part, _ answer: FuseAnswer, isSecondTime: Bool = false) {
    if answer.isOver { return }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(part.range.count)
    for number in part.chunks {
      let chunk = tree.chunks[number]
      let content: [UInt8]
      if let known = chunks.content(of: number, in: blob) {
        content = known
      } else {
        guard blob.has(chunk.offset..<chunk.end) else { return fetch(part, answer, isSecondTime) }
        do throws(OCIError) { content = try chunk.content(of: BlobPart(blob, chunk.offset..<chunk.end)) } catch {
          // What came is not what the manifest says: it may have been a proxy's fault.
          blob.forget(chunk.offset..<chunk.end)
          failed("\(error)")
          if isSecondTime { return answer.fail(EIO) }
          return fetch(part, answer, true)
        }
        chunks.keep(content, of: number, in: blob)
      }
      let low = max(part.range.lowerBound - chunk.start, 0)
      let high = min(part.range.upperBound - chunk.start, chunk.size)
      bytes += content[Int(low)..<Int(high)]
    }
    answer.send(bytes)
  }

  private func fetch(_ part: Part, _ answer: FuseAnswer, _ isSecondTime: Bool) {
    Task {
      let ranges = tree.chunks[part.chunks].map { $0.offset..<$0.end }
      guard await blob.wait(for: ranges, within: max(.zero, part.end - .now)) else {
        failed("what is read did not come within \(deadline)")
        return answer.fail(EIO)
      }
      serveSoon(part, answer, isSecondTime: isSecondTime)
    }
  }
}

/// A part of a blob as a source.
final class BlobPart: ByteSource {
  private let blob: LazyBlob
  private var range: Range<Int64>

  init(_ blob: LazyBlob, _ range: Range<Int64>) {
    self.blob = blob
    self.range = range
  }

  func read(into buffer: UnsafeMutableRawBufferPointer) throws(OCIError) -> Int {
    let count = min(buffer.count, range.count)
    guard count > 0 else { return 0 }
    let got = try blob.read(at: range.lowerBound, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]))
    range = range.lowerBound + Int64(got)..<range.upperBound
    return got
  }
}

/// The chunks that were decompressed last, of all layers together: a file is read in many small parts. What was read once
/// is kept by the kernel.
final class LazyChunks: Sendable {
  private struct Key: Hashable {
    var blob: ObjectIdentifier
    var number: Int
  }

  private struct State {
    var contents: [Key: [UInt8]] = [:]
    /// The least recently used first.
    var order: [Key] = []
    var bytes = 0
  }

  private let bytesMax: Int
  private let state = Mutex(State())

  init(bytesMax: Int = 24 << 20) { self.bytesMax = bytesMax }

  func content(of number: Int, in blob: LazyBlob) -> [UInt8]? {
    let key = Key(blob: ObjectIdentifier(blob), number: number)
    return state.withLock { state in
      guard let content = state.contents[key] else { return nil }
      if let at = state.order.firstIndex(of: key) { state.order.append(state.order.remove(at: at)) }
      return content
    }
  }

  func keep(_ content: [UInt8], of number: Int, in blob: LazyBlob) {
    let key = Key(blob: ObjectIdentifier(blob), number: number)
    state.withLock { state in
      guard state.contents.updateValue(content, forKey: key) == nil else { return }
      state.order.append(key)
      state.bytes += content.count
      // Many small ones would make the order long.
      while state.bytes > bytesMax || state.order.count > 256, state.order.count > 1 {
        state.bytes -= state.contents.removeValue(forKey: state.order.removeFirst())?.count ?? 0
      }
    }
  }
}

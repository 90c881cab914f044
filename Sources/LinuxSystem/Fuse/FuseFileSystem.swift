/// What a FUSE mount shows: a tree that never changes. Nodes are numbered from 1, which is the root, and are known for the
/// whole life of the mount: nothing has to be forgotten.
///
/// All calls but `read` are answered from memory, from one thread.
public protocol FuseFileSystem: AnyObject, Sendable {
  func status(of node: UInt64) -> FuseStatus?
  /// What a folder has under that name.
  func child(of folder: UInt64, named name: UnsafeRawBufferPointer) -> UInt64?
  /// The folder that a folder is in; the root's is the root.
  func parent(of folder: UInt64) -> UInt64
  /// How many a folder has, and each of them, always in the same order.
  func childCount(of folder: UInt64) -> Int
  func child(of folder: UInt64, at index: Int) -> (name: [UInt8], node: UInt64)
  func target(ofLink node: UInt64) -> [UInt8]
  func attributes(of node: UInt64) -> [FileAttribute]
  /// Whether any node has attributes: without, the kernel never asks for them.
  var hasAttributes: Bool { get }
  /// Bytes and number of all files, for statfs(2).
  var totals: (bytes: Int64, files: Int) { get }
  /// Answers now or later, from any thread, once; must not block.
  func read(_ node: UInt64, offset: Int64, count: Int, _ answer: FuseAnswer)
}

/// A node as stat(2) has it.
public struct FuseStatus: Sendable, Equatable {
  /// With the type's bits.
  public var mode: UInt32
  public var owner: UInt32
  public var group: UInt32
  public var size: Int64
  public var links: UInt32
  public var modified: Int64
  public var modifiedNanoseconds: Int
  public var deviceMajor: UInt32
  public var deviceMinor: UInt32

  public init(
    mode: UInt32, owner: UInt32, group: UInt32, size: Int64, links: UInt32, modified: Int64, modifiedNanoseconds: Int,
    deviceMajor: UInt32 = 0, deviceMinor: UInt32 = 0
  ) {
    self.mode = mode
    self.owner = owner
    self.group = group
    self.size = size
    self.links = links
    self.modified = modified
    self.modifiedNanoseconds = modifiedNanoseconds
    self.deviceMajor = deviceMajor
    self.deviceMinor = deviceMinor
  }
}

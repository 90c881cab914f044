import Glibc
import LinuxSystem
import Synchronization

/// Root file systems made of layers, for the node's containers and the builder's steps alike (after containerd's
/// `core/snapshots`).
///
/// A snapshot has a key, which is its folder's name, and stands on a *parent*: the folders of committed layers, top first.
/// Whose layers they are makes no difference: they may be unpacked in the image store, served by a process while they are
/// fetched, or committed here (`ImageStore.unpack` tells them apart and nobody else).
///
/// ```
/// prepare(key, on: parent) ──> active ──commit(key)──> committed: a layer, which may be in others' parents
/// view(key, of: parent) ─────> view
///                              remove(key) ends each of them
///
/// FOLDER/KEY/rootfs   where an active one or a view is mounted
/// FOLDER/KEY/upper    what was changed; of a committed one, the layer
/// FOLDER/KEY/work     the kernel's own, for as long as it is active
/// ```
///
/// - **Ownership.** A key's folder may hold more of its owner's, such as a container's record: it may be there before
///   `prepare`, and goes with `remove`. Layers that are not committed here are the caller's to keep (a pin, a lease) while
///   the snapshot is there. Nobody changes a committed one that is somebody's parent. When the snapshots on it are gone its
///   maker may move the layer's folder away (`ImageStore.adopt`).
/// - **After a kill** mounts stay, and `keys` lists every snapshot, a half-made one like a whole one. Which of them live on is
///   the owner's to know; `remove` takes away whatever is there. One that was committed still is.
/// - **After a power failure** there may be parts of anything: nothing here is synced. A layer that must outlast it is adopted
///   by the image store, after syncfs(2).
/// - **Errors.** `EINVAL` for what cannot be a key, `EEXIST` for one in use, `ENOENT` for a parent or a snapshot that is
///   not there, `EROFS` for committing a view, `EBUSY` for removing what others stand on: nothing was done. After any other
///   error there may be parts, which `remove` takes away.
/// - **Concurrency.** Calls come from any thread and block: shortly, but for `remove`, which takes as long as the tree is
///   large. Those for different keys do not wait for each other; those for one key its owner makes one after
///   another. A folder is one process's at a time. There are as many snapshots as their owners make: these have the bounds.
package final class Snapshotter: Sendable {
  private let folder: String
  private let states = Mutex(SnapshotStates())

  /// - Parameter folder: absolute, and for root alone: what is below has set-user-id programs and others' files.
  package init(folder: String) { self.folder = folder }

  /// Where all of a snapshot is.
  package func folder(of key: String) -> String { "\(folder)/\(key)" }

  private func root(_ key: String) -> String { "\(folder)/\(key)/rootfs" }
  private func layer(_ key: String) -> String { "\(folder)/\(key)/upper" }
  private func work(_ key: String) -> String { "\(folder)/\(key)/work" }

  /// Makes one that can be written to.
  ///
  /// - Parameter parent: none for an empty root.
  /// - Returns: where it is mounted.
  package func prepare(_ key: String, on parent: [String]) throws(SystemError) -> String {
    let root = try add(key, .active, on: parent)
    // In this order: a folder of changes without the kernel's own is a committed one.
    for folder in [work(key), layer(key)] { try Directory.create(folder, mode: 0o700) }
    // Its mode is that of the root.
    guard chmod(layer(key), 0o755) == 0 else { throw .last("chmod \(layer(key))") }
    var lower = parent
    if lower.isEmpty {
      lower = ["\(folder(of: key))/empty"]
      try Directory.create(lower[0], mode: 0o755)
    }
    try Mount.overlay(lower: lower, upper: layer(key), work: work(key), target: root, isVolatile: true)
    return root
  }

  /// Shows layers to who only reads.
  ///
  /// - Returns: where they are to be seen: of a single layer that is its own folder, since no mount could show more.
  package func view(_ key: String, of parent: [String]) throws(SystemError) -> String {
    let layers = Mount.distinctLayers(parent)
    let root = try add(key, .view, on: parent)
    if let only = layers.first, layers.count == 1 { return only }
    if !layers.isEmpty { try Mount.overlay(lower: layers, upper: nil, work: nil, target: root) }
    return root
  }

  /// Makes what was changed in an active one a layer. Nobody uses its mount any more.
  ///
  /// - Returns: the layer's folder, for parents.
  package func commit(_ key: String) throws(SystemError) -> String {
    try states.withLock { (states) throws(SystemError) in try states.checkCommit(key) }
    try Mount.unmount(root(key))
    // With its last file a later process, too, takes it for committed.
    try Directory.removeTree(work(key))
    states.withLock { $0.committed(key) }
    return layer(key)
  }

  /// Takes a snapshot away with all that is in its folder. One that is not there counts as removed.
  package func remove(_ key: String) throws(SystemError) {
    try states.withLock { (states) throws(SystemError) in try states.remove(key) }
    try Mount.unmount(root(key), detach: true)
    try Directory.removeTree(folder(of: key))
    states.withLock { $0.removed(key) }
  }

  /// All that are here, whoever made them and however far he came; sorted.
  package func keys() throws(SystemError) -> [String] {
    try Directory.list(folder).filter(SnapshotStates.isKey)
  }

  // MARK: - Parts

  /// - Returns: where it is to be mounted; the folder is there.
  private func add(_ key: String, _ kind: SnapshotStates.Kind, on parent: [String]) throws(SystemError) -> String {
    let parents = Set(parent.compactMap(key(ofLayer:)))
    let unknown = states.withLock { states in parents.filter { !states.isKnown($0) } }
    let found = unknown.filter { access(layer($0), F_OK) == 0 && access(work($0), F_OK) != 0 }
    try states.withLock { (states) throws(SystemError) in
      for parent in found { states.found(parent) }
      try states.add(key, kind, on: parents)
    }
    let root = root(key)
    do throws(SystemError) {
      if mkdir(root, 0o700) == 0 { return root }
      // One of an earlier process stays as it is.
      guard errno == ENOENT else { throw .last("make the snapshot \"\(key)\": create the folder \(root)") }
      try Directory.create(root, mode: 0o700)
      return root
    } catch {
      states.withLock { $0.removed(key) }
      throw error
    }
  }

  /// Which snapshot's layer a parent's folder is; `nil` for one that is not of here.
  private func key(ofLayer path: String) -> String? {
    let owner = DurableFile.parent(of: path)
    guard DurableFile.parent(of: owner) == folder else { return nil }
    let key = String(Substring(owner.utf8.dropFirst(folder.utf8.count + 1)))
    return SnapshotStates.isKey(key) && path == layer(key) ? key : nil
  }
}

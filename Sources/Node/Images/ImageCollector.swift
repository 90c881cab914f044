import Content
import ControllerKit
import LinuxSystem
import Logging
import OCI
import Wire

/// Removes images that the node pulled when their file system runs full, until it is emptier again. What containers use
/// stays, and so does everything that was pushed, built or imported here: nobody could give it back.
struct ImageCollector: ControllerKit.Service {
  let catalog: ImageCatalog
  let uses: ImageUses
  let lanes: BlockingLanes
  let policy: ImageCollectionPolicy
  let time: any TimeSource
  let log: Logger
  /// Of the store's file system; `nil` when it cannot be asked.
  let usage: @Sendable () -> FileSystemUsage?
  /// Told that not enough could be removed, in kubelet's words.
  let failed: @Sendable (_ message: String) -> Void

  func run() async throws {
    while true {
      try await time.sleep(for: policy.interval)
      do {
        _ = try await lanes.run(nil, "remove images") { collect() }
      } catch {
        log.warning("images are not looked through, will retry", metadata: ["error": "\(error)"])
      }
    }
  }

  /// Looks once, and removes what must go. Blocks.
  ///
  /// - Returns: the names that were removed.
  func collect() -> [String] {
    uses.save()
    guard let before = usage(), let wanted = ImageCollection.bytesToFree(before, policy) else { return [] }
    var current: [String: Digest] = [:]
    for image in uses.pulledImages {
      if let found = try? catalog.find(image.name), (try? catalog.isOwn(found.reference)) == false {
        current[image.name] = found.target
      }
    }
    let candidates = ImageCollection.candidates(
      uses.pulledImages, current: current, inUse: uses.digestsInUse, now: time.now(), policy)
    var removed: [String] = []
    var freed: Int64 = 0
    for image in candidates where freed < wanted {
      // It may have been taken into use since: then its content is pinned, and only the name goes.
      do throws(OCIError) { try catalog.store.remove(image.name) } catch {
        log.warning("image not removed", metadata: ["image": "\(image.name)", "error": "\(error)"])
        continue
      }
      uses.forgetPulled(image.name)
      removed.append(image.name)
      // Layers may be shared, and are also unpacked: only the file system knows what it brought.
      if let now = usage() { freed = now.available - before.available }
    }
    if !removed.isEmpty {
      log.notice(
        "removed images to free disk space", metadata: ["images": "\(removed)", "bytes": "\(freed)"])
    }
    if freed < wanted {
      failed(
        "Failed to garbage collect required amount of images. Attempted to free \(wanted) bytes, but only found "
          + "\(max(0, freed)) bytes eligible to free.")
    }
    return removed
  }
}

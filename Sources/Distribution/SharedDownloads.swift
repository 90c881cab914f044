import Content
import HTTP
import OCI
import Synchronization

/// The blobs that are being pulled into a store at this moment, so that two images with a common layer pull it once.
final class SharedDownloads: Sendable {
  private struct Key: Hashable {
    var root: String
    var digest: Digest
  }

  private let waiting = Mutex<[Key: [OneShot<Void>]]>([:])

  /// Begins a download and returns `true`, or waits for the end of the one that runs already and returns `false`:
  /// then the caller looks again whether the blob is there.
  func begin(_ digest: Digest, in store: ContentStore) async -> Bool {
    let key = Key(root: store.root, digest: digest)
    let shot = OneShot<Void>()
    let isFirst = waiting.withLock { waiting in
      guard waiting[key] != nil else {
        waiting[key] = []
        return true
      }
      waiting[key]?.append(shot)
      return false
    }
    if isFirst { return true }
    await withTaskCancellationHandler {
      await shot.value
    } onCancel: {
      shot.resolve(())
    }
    return false
  }

  func end(_ digest: Digest, in store: ContentStore) {
    let shots = waiting.withLock { $0.removeValue(forKey: Key(root: store.root, digest: digest)) }
    for shot in shots ?? [] { shot.resolve(()) }
  }
}

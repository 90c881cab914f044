import OCI
import Synchronization

/// Manifests that were read lately, by their digest. Content cannot change, so nothing here is ever wrong; whether a
/// repository has a manifest is asked of the catalog each time.
final class ManifestCache: Sendable {
  private struct Entry {
    let record: ManifestRecord
    var used: UInt64
  }

  private struct State {
    var entries: [Digest: Entry] = [:]
    var bytes = 0
    var clock: UInt64 = 0
  }

  private let state = Mutex(State())
  private let bytesMax: Int
  /// What an entry costs beside its bytes, about.
  private static let overhead = 512

  init(bytesMax: Int) { self.bytesMax = bytesMax }

  func record(_ digest: Digest) -> ManifestRecord? {
    state.withLock { state in
      state.clock += 1
      state.entries[digest]?.used = state.clock
      return state.entries[digest]?.record
    }
  }

  func insert(_ record: ManifestRecord) {
    // What takes up a quarter of the cache would throw out too much that is asked for more often.
    guard record.bytes.count <= bytesMax / 4 else { return }
    state.withLock { state in
      state.clock += 1
      if state.entries.updateValue(Entry(record: record, used: state.clock), forKey: record.digest) == nil {
        state.bytes += record.bytes.count + ManifestCache.overhead
      }
      guard state.bytes > bytesMax else { return }
      // The older half goes at once, so that this is rare.
      for (digest, entry) in state.entries.sorted(by: { $0.value.used < $1.value.used }) {
        guard state.bytes > bytesMax / 2 else { break }
        state.entries[digest] = nil
        state.bytes -= entry.record.bytes.count + ManifestCache.overhead
      }
    }
  }

  func remove(_ digest: Digest) {
    state.withLock { state in
      if let entry = state.entries.removeValue(forKey: digest) {
        state.bytes -= entry.record.bytes.count + ManifestCache.overhead
      }
    }
  }
}

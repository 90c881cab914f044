import Content
import LinuxSystem
import Logging
import OCI
import Synchronization
import Wire

/// Where pins are kept: what is pinned is not collected, whoever collects and whether or not this server runs.
protocol ImagePins: Sendable {
  /// `false` when there is no such manifest. Durable when it returns.
  func pin(_ digest: Digest) throws(OCIError) -> Bool
  func unpin(_ digest: Digest) throws(OCIError)
  /// - Returns: the digests that are not there and so are not pinned.
  func replace(with digests: Set<Digest>) throws(OCIError) -> Set<Digest>
}

extension PinSet: ImagePins {}

/// Which images the containers of this node use, and which of them the node pulled itself.
///
/// The first use of an image pins it before anything of it is unpacked, and the last one lets it go, so that the
/// collection of garbage never takes what runs or is about to run. Every call but `hold`'s end blocks: make them on the
/// thread pool. The lock is held while a pin is written, so that pins and uses cannot disagree.
final class ImageUses: Sendable {
  /// An image that the node pulled, by the name that a pod gave it.
  struct Pulled: Sendable, Equatable {
    var name: String
    /// What the name led to, and the manifest that runs: they differ when the name led to an index.
    var target: Digest
    var digest: Digest
    var pulledAt: Timestamp
    var lastUsedAt: Timestamp
  }

  private struct State {
    /// Containers by their id, and holds.
    var users: [Digest: Set<String>] = [:]
    var digestOf: [String: Digest] = [:]
    var lastHold = 0
    /// By name.
    var pulled: [String: Pulled] = [:]
    var isChanged = false
  }

  private let pins: any ImagePins
  private let lanes: BlockingLanes
  private let path: String
  private let time: any TimeSource
  private let log: Logger
  /// Told when the last use of an image has ended.
  private let unused: @Sendable (Digest) -> Void
  private let state = Mutex(State())

  /// - Parameter path: the file that remembers what was pulled.
  init(
    pins: any ImagePins, lanes: BlockingLanes, path: String, time: any TimeSource, log: Logger,
    unused: @escaping @Sendable (Digest) -> Void = { _ in }
  ) {
    self.unused = unused
    self.pins = pins
    self.lanes = lanes
    self.path = path
    self.time = time
    self.log = log
  }

  // MARK: - Uses

  /// At the start of the node: these containers are here, and no other use outlived the server. Reads what was pulled.
  func adopt(_ containers: [(id: String, digest: Digest)]) throws(OCIError) {
    let pulled = Self.read(path)
    // The catalog is asked under the lock, and a typed error does not pass through it.
    let result: Result<Set<Digest>, OCIError> = state.withLock { state in
      for (id, digest) in containers {
        state.users[digest, default: []].insert(id)
        state.digestOf[id] = digest
      }
      for entry in pulled where state.pulled[entry.name] == nil { state.pulled[entry.name] = entry }
      do throws(OCIError) { return .success(try pins.replace(with: Set(state.users.keys))) } catch {
        return .failure(error)
      }
    }
    let missing = try result.get()
    if !missing.isEmpty {
      log.warning(
        "containers run whose images are no longer in the store",
        metadata: ["digests": "\(missing.map(\.description).sorted())"])
    }
  }

  /// Keeps the image until the hold goes away. `nil` when the image is not there any more.
  func hold(_ digest: Digest) throws(OCIError) -> ImageHold? {
    let result: Result<String?, OCIError> = state.withLock { state in
      state.lastHold += 1
      let name = "hold-\(state.lastHold)"
      do throws(OCIError) { return .success(try add(name, digest, &state) ? name : nil) } catch {
        return .failure(error)
      }
    }
    guard let name = try result.get() else { return nil }
    return ImageHold {
      let what = "let go \(digest)"
      // What cannot be let go now is at the next start of the node.
      self.lanes.submit(nil, what, failed: { self.log.warning("image stays pinned", metadata: ["error": "\($0)"]) }) {
        self.ended(name)
      }
    }
  }

  /// A container was made from an image that is held: it uses the image from now on.
  func began(_ containerID: String, _ digest: Digest) throws(OCIError) {
    let result: Result<Bool, OCIError> = state.withLock { state in
      do throws(OCIError) { return .success(try add(containerID, digest, &state)) } catch { return .failure(error) }
    }
    _ = try result.get()
  }

  private func add(_ user: String, _ digest: Digest, _ state: inout State) throws(OCIError) -> Bool {
    if state.users[digest] == nil, try !pins.pin(digest) { return false }
    state.users[digest, default: []].insert(user)
    state.digestOf[user] = digest
    touch(digest, &state)
    return true
  }

  /// The container was removed. One that is not known is no error.
  func ended(_ user: String) {
    state.withLock { state in
      guard let digest = state.digestOf.removeValue(forKey: user) else { return }
      touch(digest, &state)
      state.users[digest]?.remove(user)
      guard state.users[digest]?.isEmpty == true else { return }
      state.users[digest] = nil
      do throws(OCIError) { try pins.unpin(digest) } catch {
        // The next start of the node sees to it.
        log.warning("image stays pinned", metadata: ["digest": "\(digest)", "error": "\(error)"])
      }
      // With the lock held: nobody begins to use it meanwhile.
      unused(digest)
    }
  }

  /// The images that containers use or are about to use.
  var digestsInUse: Set<Digest> { state.withLock { Set($0.users.keys) } }

  // MARK: - What was pulled

  /// The node pulled an image. Without a tag there is no name to remove: such an image goes when nothing holds it.
  func pulled(_ found: FoundImage) {
    guard found.reference.digest == nil else { return }
    let now = time.now()
    let name = found.reference.description
    state.withLock { state in
      let known = state.pulled[name].flatMap { $0.target == found.target ? $0 : nil }
      state.pulled[name] = Pulled(
        name: name, target: found.target, digest: found.image.digest, pulledAt: known?.pulledAt ?? now, lastUsedAt: now)
      state.isChanged = true
    }
    save()
  }

  func forgetPulled(_ name: String) {
    state.withLock { state in
      if state.pulled.removeValue(forKey: name) != nil { state.isChanged = true }
    }
    save()
  }

  var pulledImages: [Pulled] { state.withLock { $0.pulled.values.sorted { $0.name < $1.name } } }

  private func touch(_ digest: Digest, _ state: inout State) {
    let now = time.now()
    for name in state.pulled.keys where state.pulled[name]?.digest == digest {
      state.pulled[name]?.lastUsedAt = now
      state.isChanged = true
    }
  }

  /// Writes down what changed. A failure costs little: an image that nobody knows to be pulled stays.
  func save() {
    let json: JSON? = state.withLock { state in
      guard state.isChanged else { return nil }
      state.isChanged = false
      return .array(state.pulled.values.sorted { $0.name < $1.name }.map(\.json))
    }
    guard let json else { return }
    do throws(SystemError) { try DurableFile.write(json.serialized(), to: path, mode: 0o600) } catch {
      log.warning("list of pulled images not written", metadata: ["error": "\(error)"])
    }
  }

  private static func read(_ path: String) -> [Pulled] {
    guard let bytes = Files.read(path, limit: 64 << 20), let json = try? JSON.parse(bytes) else { return [] }
    return (json.array ?? []).compactMap(Pulled.init(json:))
  }
}

extension ImageUses.Pulled {
  fileprivate init?(json: JSON) {
    guard let name = json["name"]?.string, let target = json["target"]?.string.flatMap({ Digest($0) }),
      let digest = json["digest"]?.string.flatMap({ Digest($0) }),
      let pulledAt = json["pulledAt"]?.string.flatMap({ Timestamp(rfc3339: $0) }),
      let lastUsedAt = json["lastUsedAt"]?.string.flatMap({ Timestamp(rfc3339: $0) })
    else { return nil }
    self.init(name: name, target: target, digest: digest, pulledAt: pulledAt, lastUsedAt: lastUsedAt)
  }

  fileprivate var json: JSON {
    [
      "name": .string(name), "target": .string(target.description), "digest": .string(digest.description),
      "pulledAt": .string(pulledAt.rfc3339Micro), "lastUsedAt": .string(lastUsedAt.rfc3339Micro),
    ]
  }
}

/// Keeps an image while it is being prepared; lets it go when the last reference goes.
final class ImageHold: Sendable {
  private let end: @Sendable () -> Void
  init(_ end: @escaping @Sendable () -> Void) { self.end = end }
  deinit { end() }
}

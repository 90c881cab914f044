import Dockerfile
import LinuxSystem
import OCI

/// What the result of a step depends on, as a digest. Two steps with the same key have interchangeable results.
///
/// Part of it: content, modes, owners, commands, variables, mounts' definitions, and the layers underneath by their
/// content. Never part of it: times, the context's path, who builds, and what a secret holds.
struct CacheKey: Sendable, Hashable, CustomStringConvertible {
  let hex: String

  init(hex: String) { self.hex = hex }

  /// A tag of a cache record: at most 128 letters, digits, `-`.
  var tag: String { "k-" + hex }
  var description: String { hex }
}

/// Builds a key from named fields. Every field has its length in front, so that no two lists of fields are the same
/// bytes.
struct KeyHasher {
  private var hasher = DigestHasher(.sha256)

  /// - Parameter kind: what is hashed, with a version that changes when its meaning does.
  init(_ kind: String) { add("kind", kind) }

  mutating func add(_ name: String, _ value: String) {
    let text = "\(name.utf8.count):\(name)\(value.utf8.count):\(value)"
    Array(text.utf8).withUnsafeBytes { hasher.update($0) }
  }

  mutating func add(_ name: String, _ value: Int64) { add(name, String(value)) }
  mutating func add(_ name: String, _ value: Bool) { add(name, value ? "1" : "0") }
  mutating func add(_ name: String, _ values: [String]) {
    add(name, Int64(values.count))
    for value in values { add("", value) }
  }

  func finish() -> CacheKey { CacheKey(hex: hasher.finish().hex) }
}

/// What every key of a build has in it.
struct KeyScope: Sendable {
  var platform: String
  var compression: BuildRequest.LayerCompression
  var sourceDateEpoch: Int64?

  fileprivate func add(to hasher: inout KeyHasher) {
    hasher.add("platform", platform)
    hasher.add("compression", compression.rawValue)
    if let sourceDateEpoch { hasher.add("epoch", sourceDateEpoch) }
  }
}

extension CacheKey {
  /// The identity of files: the layers from bottom to top by their content.
  static func chain(_ layers: [Image.Layer]) -> String {
    var hasher = KeyHasher("chain/1")
    hasher.add("layers", layers.map(\.diffID.description))
    return hasher.finish().hex
  }

  /// The key of `RUN`.
  ///
  /// - Parameters:
  ///   - base: the chain underneath.
  ///   - mountContents: for each mount the identity of what it shows; empty for caches, secrets and agents, whose content
  ///     does not count.
  static func run(
    _ step: RunStep, base: String, mountContents: [String], extraHosts: [String], scope: KeyScope
  ) -> CacheKey {
    var hasher = KeyHasher("run/1")
    scope.add(to: &hasher)
    hasher.add("base", base)
    hasher.add("arguments", step.arguments)
    if let script = step.script {
      hasher.add("script", script.name)
      hasher.add("content", script.content)
    }
    hasher.add("environment", step.environment.map { "\($0.name)=\($0.value)" })
    hasher.add("directory", step.workingDirectory)
    hasher.add("user", step.user)
    hasher.add("network", step.network.rawValue)
    hasher.add("hosts", extraHosts)
    hasher.add("mounts", Int64(step.mounts.count))
    for (index, planned) in step.mounts.enumerated() {
      let mount = planned.mount
      hasher.add("kind", mount.kind.rawValue)
      hasher.add("target", planned.target)
      hasher.add("source", mount.source ?? "")
      hasher.add("readonly", mount.isReadOnly)
      hasher.add("id", mount.id ?? "")
      hasher.add("sharing", mount.sharing.rawValue)
      hasher.add("required", mount.isRequired)
      hasher.add("attributes", [mount.mode, mount.uid, mount.gid].map { $0.map { String($0) } ?? "" })
      hasher.add("variable", mount.environment ?? "")
      hasher.add("size", mount.sizeMax ?? 0)
      hasher.add("content", index < mountContents.count ? mountContents[index] : "")
    }
    return hasher.finish()
  }

  /// The key of `COPY` and `ADD` by what is copied.
  ///
  /// - Parameters:
  ///   - base: the chain underneath; empty for `--link` with numeric owners, which goes on top of anything.
  ///   - content: of the selected files (``content(_:)``), or what stands for it.
  static func copy(_ step: CopyStep, base: String, content: String, scope: KeyScope) -> CacheKey {
    var hasher = KeyHasher("copy/2")
    scope.add(to: &hasher)
    hasher.add("base", base)
    hasher.add("destination", step.destination)
    hasher.add("chown", step.chown ?? "")
    hasher.add("chmod", step.chmodText ?? "")
    hasher.add("link", step.isLinked)
    hasher.add("unpack", step.unpacks.map { $0 ? "yes" : "no" } ?? (step.isAdd ? "local" : "never"))
    hasher.add("content", content)
    return hasher.finish()
  }

  /// Stands for the content of files of a step, without looking at them: their chain, and which are named.
  static func origin(_ step: CopyStep, chain: String) -> String {
    var hasher = KeyHasher("origin/1")
    hasher.add("chain", chain)
    hasher.add("parents", step.keepsParents)
    hasher.add("excluded", step.excluded)
    for source in step.sources {
      switch source {
      case .path(let path): hasher.add("path", path)
      case .document(let name, let content): hasher.add("document", [name, content])
      case .http, .git: break
      }
    }
    return hasher.finish().hex
  }

  static func workdir(path: String, user: String, base: String, scope: KeyScope) -> CacheKey {
    var hasher = KeyHasher("workdir/1")
    scope.add(to: &hasher)
    hasher.add("base", base)
    hasher.add("path", path)
    hasher.add("user", user)
    return hasher.finish()
  }

  /// The content of selected files: names, kinds, modes, link targets, bytes; owners and capabilities where a copy keeps
  /// them. All digests are filled in.
  static func content(_ selections: [Selection], sources: CopySources) -> String {
    var hasher = KeyHasher("content/1")
    for selection in selections {
      hasher.add("name", selection.name)
      hasher.add("folder", selection.isFolder)
      hasher.add("parents", selection.keepsPath)
      hasher.add("archive", selection.isArchive)
      hasher.add("items", Int64(selection.items.count))
      for item in selection.items {
        hasher.add("path", item.path)
        hasher.add("kind", "\(item.entry.kind)")
        hasher.add("mode", Int64(item.entry.status.mode))
        hasher.add("target", item.entry.target)
        hasher.add("digest", item.digest?.description ?? "")
        if case .tree(let index) = item.content, sources.trees[index].origin == .image {
          hasher.add("owner", "\(item.entry.status.owner):\(item.entry.status.group)")
          hasher.add("device", "\(item.entry.status.deviceMajor):\(item.entry.status.deviceMinor)")
          if let capability = item.capability {
            hasher.add("capability", capability.map { String($0) }.joined(separator: ","))
          }
        }
      }
    }
    return hasher.finish().hex
  }
}

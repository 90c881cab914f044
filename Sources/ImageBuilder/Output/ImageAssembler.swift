import Content
import LinuxSystem
import OCI
import Wire

/// Makes an image of the results of a plan: configuration and manifest.
struct ImageAssembler: Sendable {
  let plan: BuildPlan
  let results: [StepResult]
  let epoch: Int64?

  /// The configuration document. Pure: equal results give equal bytes.
  func document(platform: Platform) -> ConfigDocument {
    let layers = results[plan.result].layers
    var config = plan.configuration.config
    config.os = platform.os
    config.architecture = platform.architecture
    config.variant = platform.variant
    var history = plan.baseHistory
    // An image without a history of its own still has a line for every layer, so that the two can be told apart.
    let baseLayers = layers.count - plan.history.count { $0.step.map { results[$0].hasLayer } ?? false }
    let lines = history.count { !$0.isEmptyLayer }
    for _ in min(lines, max(0, baseLayers))..<max(0, baseLayers) { history.append(History(comment: "imported")) }
    // A change of the configuration alone happened when the files before it did: looked up again it is the same image.
    var latest: String? = history.compactMap(\.created).last ?? plan.configuration.config.created
    for entry in plan.history {
      let result = entry.step.map { results[$0] }
      if let created = result?.created { latest = text(created) }
      history.append(
        History(
          created: latest, createdBy: entry.createdBy, author: entry.author, comment: "apus build",
          isEmptyLayer: !(result?.hasLayer ?? false)))
    }
    config.created = epoch.map { Timestamp(seconds: $0).rfc3339 } ?? latest
    if let epoch {
      let time = Timestamp(seconds: epoch).rfc3339
      for index in plan.baseHistory.count..<history.count { history[index].created = time }
    }
    return ConfigDocument(
      config: config, diffIDs: layers.map(\.diffID), history: history, author: plan.configuration.author)
  }

  private func text(_ time: Timestamp) -> String {
    time.microseconds % 1_000_000 == 0 ? time.rfc3339 : time.rfc3339Micro
  }
}

/// An image that has been put into the store.
struct AssembledImage: Sendable {
  var platform: Platform
  var manifest: Descriptor
  var config: Digest
  var layers: [Image.Layer]
}

extension BuildSession {
  /// Stores an image's documents in the repositories of its names, without a tag yet. Blocks.
  func store(_ assembler: ImageAssembler, platform: Platform, in repositories: [Repository]) throws(BuildError)
    -> AssembledImage
  {
    let layers = assembler.results[assembler.plan.result].layers
    let document = assembler.document(platform: platform).json.serialized()
    let manifest = try stored { () throws(OCIError) -> (Digest, [UInt8]) in
      let config = try content.storeBlob(document, lease: lease)
      let manifest = Manifest(
        config: Descriptor(mediaType: MediaType.config, digest: config.digest, size: config.size),
        layers: layers.map(\.descriptor))
      return (config.digest, manifest.json.serialized())
    }
    for repository in repositories {
      _ = try stored { () throws(OCIError) in
        try content.putManifest(manifest.1, mediaType: MediaType.manifest, in: repository, requiring: .present)
      }
    }
    return AssembledImage(
      platform: platform,
      manifest: Descriptor(
        mediaType: MediaType.manifest, digest: Digest(of: manifest.1), size: Int64(manifest.1.count), platform: platform
      ),
      config: manifest.0, layers: layers)
  }
}

import Layers
import OCI

extension BlobWriter: ByteSink {}

extension ContentStore {
  /// Writes a layer into the store. Blocks. When it throws, nothing is stored.
  /// - Parameter lease: keeps the layer until something references it.
  public func writeLayer(
    _ contents: LayerContents, options: LayerOptions = LayerOptions(), lease: Lease
  ) throws(OCIError) -> StoredLayer {
    let blob = try newBlob()
    do throws(OCIError) {
      let summary = try LayerWriter.write(contents, to: blob, options: options, hashing: false)
      let stored = try blob.commit(expecting: nil, lease: lease)
      return StoredLayer(
        descriptor: Descriptor(
          mediaType: MediaType.layer(options.compression), digest: stored.digest, size: stored.size,
          annotations: summary.tocDigest.map { [Descriptor.tocAnnotation: $0.description] } ?? [:]),
        diffID: options.compression == .none ? stored.digest : summary.diffID,
        uncompressedSize: summary.uncompressedSize, entries: summary.entries)
    } catch {
      blob.cancel()
      throw error
    }
  }
}

/// A layer in the store.
public struct StoredLayer: Sendable, Equatable {
  /// For the manifest.
  public var descriptor: Descriptor
  /// For the configuration.
  public var diffID: Digest
  public var uncompressedSize: Int64
  /// Members of the archive; zero when nothing changed.
  public var entries: Int
}

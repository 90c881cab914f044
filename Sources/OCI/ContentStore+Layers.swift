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
          annotations: summary.tocDigest.map { [Stargz.tocAnnotation: $0.description] } ?? [:]),
        diffID: options.compression == .none ? stored.digest : summary.diffID,
        uncompressedSize: summary.uncompressedSize, entries: summary.entries)
    } catch {
      blob.cancel()
      throw error
    }
  }
}

/// Why an image, a layer or the store cannot do what was asked. The message names the archive's member or the file, and
/// says what to do.
public struct OCIError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What is wrong, for who decides by it. Here is what a document or a name can have; what else can go wrong with layers
  /// and with the store is added by `Layers` and `Content`, which throw it.
  public struct Code: Sendable, Hashable, CustomStringConvertible {
    /// The name of the constant.
    public let description: String

    /// - Parameter name: of the constant, which is its identity.
    package init(_ name: String) { description = name }

    /// A reference that is no image name.
    public static let invalidReference = Code("invalidReference")
    /// A text that is no platform: `os/architecture[/variant]`.
    public static let invalidPlatform = Code("invalidPlatform")
    /// An archive, manifest or configuration that breaks its specification.
    public static let invalidArchive = Code("invalidArchive")
    /// Content that is not what its digest says. Nothing was stored.
    public static let digestMismatch = Code("digestMismatch")
    /// More bytes or entries than the limits allow.
    public static let limitExceeded = Code("limitExceeded")
    /// Valid, but not for this program: another platform, an unknown compression.
    public static let unsupported = Code("unsupported")
  }

  public var code: Code
  public var message: String
  /// The digests that it is about; of missing content what is missing, in the manifest's order.
  public var digests: [Digest]

  public init(_ code: Code, _ message: String, digests: [Digest] = []) {
    self.code = code
    self.message = message
    self.digests = digests
  }

  public var description: String { message }
}

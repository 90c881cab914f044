import OCI
import Wire

/// Something that happened in a repository, told to whoever subscribed.
public struct RegistryEvent: Sendable, Equatable {
  public enum Kind: String, Sendable, Hashable, CaseIterable {
    /// A manifest was stored.
    case push
    /// A manifest was read.
    case pull
    /// A manifest or a tag was deleted.
    case delete
  }

  public var kind: Kind
  public var repository: String
  public var digest: Digest?
  public var tags: [String]
  public var mediaType: String?
  public var size: Int64?
  /// Who did it; `nil` for anonymous.
  public var actor: String?
  public var time: Timestamp
  /// Unique for the source.
  public var id: String

  /// CloudEvents 1.0, structured content mode in JSON (CloudEvents JSON format, section 3).
  ///
  /// - Parameter source: a URI reference of the registry: `//localhost:5000`.
  func cloudEvent(source: String) -> JSON {
    var data: JSON = [
      "repository": .string(repository), "tags": .array(tags.map { .string($0) }),
    ]
    if let digest { data["digest"] = .string(digest.description) }
    if let mediaType { data["mediaType"] = .string(mediaType) }
    if let size { data["size"] = .int(size) }
    if let actor { data["actor"] = .string(actor) }
    return [
      "specversion": "1.0", "id": .string(id), "source": .string("\(source)/\(repository)"),
      "type": .string("dev.apus.registry.\(kind.rawValue).v1"), "time": .string(time.rfc3339Micro),
      "subject": .string(tags.first.map { "\(repository):\($0)" } ?? "\(repository)@\(digest?.description ?? "")"),
      "datacontenttype": "application/json", "data": data,
    ]
  }
}

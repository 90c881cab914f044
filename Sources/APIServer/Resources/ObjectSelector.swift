import KubeClient
import KubeTypes
import Schema
import Store
import Wire

/// What narrows a list or a watch: a label selector and a field selector.
struct ObjectSelector: Sendable {
  let labels: Selector
  let fields: FieldSelector

  static let everything = ObjectSelector()

  private init() {
    labels = .everything
    fields = FieldSelector()
  }

  /// - Throws: 400 with the words of Kubernetes for text that is no selector.
  init(labels labelText: String, fields fieldText: String, kind: KindSchema) throws(KubeError) {
    do { labels = labelText.isEmpty ? .everything : try Selector(parsing: labelText) } catch {
      throw .badRequest("unable to parse requirement: \(error.message)")
    }
    fields = try FieldSelector(fieldText, kind: kind)
  }

  var selectsEverything: Bool { labels == .everything && fields.isEmpty }

  func matches(_ entry: Entry) -> Bool {
    (labels == .everything || labels.matches(entry.header.labels))
      && (fields.isEmpty || fields.matches(entry.header, entry.value))
  }
}

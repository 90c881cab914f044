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
  /// What the store can pick the events of a watch by. The rest is looked at by the watch.
  var sieve: Store.Sieve? {
    if let sieve = fields.sieve { return sieve }
    guard let label = labels.requirements.first(where: \.asksForOneValue), let value = label.values.first else {
      return nil
    }
    return .label(label.key, value: value)
  }
}

extension Selector.Requirement {
  fileprivate var asksForOneValue: Bool {
    switch `operator` {
    case .equals, .doubleEquals: true
    case .in: values.count == 1
    case .notIn, .notEquals, .greaterThan, .lessThan, .exists, .doesNotExist: false
    }
  }
}

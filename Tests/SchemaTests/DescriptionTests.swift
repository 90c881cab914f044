import Testing

@testable import Schema

/// `kubectl explain` shows the text of a field and, after it, that of its struct. A field whose struct says the same has
/// no text of its own.
@Suite struct DescriptionTests {
  private static let small: Set<String> = [
    "a", "an", "and", "are", "as", "at", "be", "been", "by", "describe", "every", "for", "from", "has", "have", "how",
    "in", "is", "it", "its", "not", "of", "on", "one", "or", "say", "show", "so", "than", "that", "the", "then", "thi",
    "to", "wa", "were", "what", "which", "who", "with", "without",
  ]

  /// The words that carry the sense, without their endings.
  private func words(_ text: String) -> Set<String> {
    let all = text.lowercased().split { !$0.isLetter }.map { word -> String in
      if word.hasSuffix("ies") { return word.dropLast(3) + "y" }
      return word.count > 2 && word.hasSuffix("s") && !word.hasSuffix("ss") ? String(word.dropLast()) : String(word)
    }
    return Set(all).subtracting(Self.small)
  }

  @Test func nothingIsSaidTwice() {
    var doubled: Set<String> = []
    for (_, structure) in SchemaRegistry.builtin.structures {
      for field in structure.fields {
        guard let inner = field.type.structure, !field.description.isEmpty, !inner.description.isEmpty else { continue }
        let own = words(field.description)
        let theirs = words(inner.description).subtracting(words(inner.name))
        let shorter = min(own.count, theirs.count)
        guard shorter > 1, own.intersection(theirs).count * 10 >= shorter * 6 else { continue }
        doubled.insert("\(structure.name).\(field.name): \(field.description) \(inner.description)")
      }
    }
    #expect(doubled.sorted() == [])
  }
}

import Testing

@testable import Node

@Suite("Expansion")
struct ExpansionTests {
  // From the cases that Kubernetes' expansion has to satisfy.
  @Test(
    "references",
    arguments: [
      ("$(VAR_A)", "A"), ("___$(VAR_B)___", "___B___"), ("$(VAR_A)-1", "A-1"), ("$(VAR_DNE)", "$(VAR_DNE)"),
      ("$$(VAR_A)", "$(VAR_A)"), ("$$$(VAR_A)", "$A"), ("$$$$(VAR_A)", "$$(VAR_A)"), ("$VAR_A", "$VAR_A"),
      ("$(VAR_A", "$(VAR_A"), ("foo$", "foo$"), ("$", "$"), ("$()", "$()"), ("$(VAR_EMPTY)x", "x"),
      ("ü$(VAR_A)ü", "üAü"),
      ("$(VAR_A)$(VAR_B)", "AB"), ("", ""),
    ])
  func expand(text: String, expected: String) {
    let values = ["VAR_A": "A", "VAR_B": "B", "VAR_EMPTY": ""]
    #expect(Expansion.expand(text) { values[$0] } == expected)
  }
}

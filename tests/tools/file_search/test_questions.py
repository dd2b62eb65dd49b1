"""The questions are fair: their passages exist, and those that say so share no content word with it."""

from tests.tools.file_search.asked import ROOT, content_words, plain, questions


def test_sixty_questions_have_a_passage_in_their_file() -> None:
    asked = questions()
    assert len(asked) == 60
    assert len({each.question for each in asked}) == 60
    lost = [each for each in asked if plain(each.passage) not in plain((ROOT / each.file).read_text())]
    assert not lost, "docs/ has changed: give these questions the passage that answers them now"


def test_at_least_twenty_share_no_content_word() -> None:
    apart = [each for each in questions() if each.apart]
    shared = {each.question: content_words(each.question) & content_words(each.passage) for each in apart}
    assert not {question: words for question, words in shared.items() if words}
    assert len(apart) >= 20

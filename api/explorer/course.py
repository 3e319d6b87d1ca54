"""The routes of the course: its contents, its steps, its questions, the glossary, and a block taken apart."""

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue

from api.access import current_node
from api.explorer import glossary as words
from api.explorer.pages import course
from api.explorer.pages.quiz import QUESTIONS
from api.explorer.rendering import asset_url, render_missing, render_page
from api.explorer.views import blueprint as blueprint
from api.reading import MAX_HEIGHT, number_argument
from api.representations import find_block

# The scripts of the exercises; those that mine have one together.
_SCRIPTS = {"block": "course-blocks.js", "chain": "course-blocks.js", "network": "course-blocks.js"}

for _filter in (words.anchor, words.prose):
    blueprint.add_app_template_filter(_filter)


@blueprint.get("/learn")
def learn() -> ResponseReturnValue:
    """Show the contents of the course.
    ---
    get:
      summary: 'Page: a course about how a blockchain works, for people who know nothing of it'
      responses:
        '200': {description: HTML., html: true}
        '302': {description: 'With block=HEIGHT, to that block taken apart, which had this path before.'}
    """
    if "block" in request.args:
        return redirect(url_for("explorer.anatomy", block=number_argument("block", 1, 1, MAX_HEIGHT)))
    return render_page("course/contents", "", {"steps": course.STEPS}, section="learn")


@blueprint.get("/learn/<step>")
def lesson(step: str) -> ResponseReturnValue:
    """Show one step of the course.
    ---
    get:
      summary: 'Page: one step of the course, with an exercise that the browser computes'
      parameters:
        - in: path
          name: step
          required: true
          schema: {type: string, enum: [hash, signature, transaction, block, chain, network, cost]}
      responses: {'200': {description: HTML., html: true}, '404':}
    """
    if step not in {item.slug for item in course.STEPS}:
        return render_missing("page", request.path)
    content = course.lesson(step, current_node(), asset_url(course.SAMPLE))
    return render_page(
        f"course/{step}", "/blocks/latest", {**content, "script": _SCRIPTS.get(step, "course.js")}, section="learn"
    )


@blueprint.get("/learn/quiz")
def quiz() -> ResponseReturnValue:
    """Ask ten questions about the course.
    ---
    get:
      summary: 'Page: ten questions about how a blockchain works, with their answers'
      responses: {'200': {description: HTML., html: true}}
    """
    titles = {step.slug: step.title for step in course.STEPS}
    context = {"steps": course.STEPS, "questions": QUESTIONS, "titles": titles}
    return render_page("course/quiz", "", context, section="learn")


@blueprint.get("/learn/glossary")
def glossary() -> ResponseReturnValue:
    """Explain the words.
    ---
    get:
      summary: 'Page: the words of the course and of the documentation, each with an example'
      responses: {'200': {description: HTML., html: true}}
    """
    return render_page("course/glossary", "", {"parts": words.parts()}, section="learn")


@blueprint.get("/learn/anatomy")
def anatomy() -> ResponseReturnValue:
    """Take a block apart.
    ---
    get:
      summary: 'Page: a block taken apart in the browser, from its bytes to its hash'
      parameters:
        - in: query
          name: block
          schema: {type: integer, minimum: 1, maximum: 999999999999999}
          description: A height.
      responses: {'200': {description: HTML., html: true}}
    """
    tip = current_node().chain.tip()
    height = min(number_argument("block", max(tip.height - 3, 2), 1, MAX_HEIGHT), tip.height)
    if not current_node().rules.has_accounts:
        context = {"height": height, "tip": tip}
        return render_page("learn_tutorial", f"/chain?from={height}&limit=4", context, section="learn")
    stored = find_block(current_node(), str(height))
    kept = height >= current_node().chain.kept_from()
    teachable = stored is not None and stored.header.transactions_root != "" and height > 1 and kept
    context = {"height": height, "teachable": teachable, "tip": tip}
    return render_page("anatomy", f"/chain?from={height}&limit=4", context, section="learn")

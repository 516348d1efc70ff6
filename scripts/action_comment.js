// One comment of a pull request, edited by every later run: the one that carries the report's hidden mark.
const fs = require("fs");

module.exports = async ({ github, context, core }) => {
  const path = process.env.REPORT;
  if (!fs.existsSync(path)) {
    core.warning(`no report at ${path}, so no comment`);
    return;
  }
  const body = fs.readFileSync(path, "utf8");
  const mark = body.match(/<!--\s*sway-gguf[^>]*-->/)?.[0];
  if (!mark) {
    core.warning("the report carries no mark, so no comment");
    return;
  }
  const where = { owner: context.repo.owner, repo: context.repo.repo };
  const issue_number = context.payload.pull_request.number;
  const comments = await github.paginate(github.rest.issues.listComments, { ...where, issue_number, per_page: 100 });
  const ours = comments.find((each) => each.user?.type === "Bot" && each.body?.includes(mark));
  if (ours) {
    await github.rest.issues.updateComment({ ...where, comment_id: ours.id, body });
  } else {
    await github.rest.issues.createComment({ ...where, issue_number, body });
  }
};
